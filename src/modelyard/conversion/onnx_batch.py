"""ONNX models whose first axis has a fixed length: what can be freed of it (IR specification, "Tensor Shapes";
operator Reshape, where 0 keeps an axis)."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from modelyard.errors import InvalidInput
from modelyard.packages.golden import Array
from modelyard.types.tensor import Signature

ROWS: Final = "rows"


def fixed_rows(tensors: Signature) -> int | None:
    """The batch that a model takes and no other, or None where it takes any.

    Raises InvalidInput for inputs without a common first axis: there are no rows to be batched then.
    """
    shapes = {t.name: list(t.shape) for t in tensors.inputs}
    if not shapes or any(not shape for shape in shapes.values()):
        raise InvalidInput("the model's inputs have no first axis to batch by", came=shapes)
    fixed = {shape[0] for shape in shapes.values()} - {-1}
    if len(fixed) > 1 or 0 in fixed:
        raise InvalidInput(
            "the model's inputs have different first axes, so there are no rows to batch", came=shapes
        )
    return fixed.pop() if fixed else None


def freed(model: Any) -> Any:
    """A copy whose inputs and outputs have a free first axis. What the graph says of the shapes between them is
    left out: it was inferred from the fixed one."""
    copy = type(model)()
    copy.CopyFrom(model)
    constants = {i.name for i in copy.graph.initializer}
    for value in (*copy.graph.input, *copy.graph.output):
        shape = value.type.tensor_type.shape
        if value.name not in constants and shape.dim:
            shape.dim[0].Clear()
            shape.dim[0].dim_param = ROWS
    del copy.graph.value_info[:]
    return copy


def reshaped(model: Any, rows: int) -> Any:
    """The same, and every Reshape to `rows` rows keeps its first axis as it comes."""
    from onnx import numpy_helper

    copy = freed(model)
    shapes = {n.input[1] for n in copy.graph.node if _keeps(n)}
    for tensor in copy.graph.initializer:
        if tensor.name in shapes:
            _loosen(tensor, rows, numpy_helper)
    for node in copy.graph.node:
        if node.op_type == "Constant" and node.output[0] in shapes:
            for attribute in node.attribute:
                if attribute.name == "value":
                    _loosen(attribute.t, rows, numpy_helper)
    return copy


def _keeps(node: Any) -> bool:
    """Whether 0 in a Reshape's shape means to keep an axis."""
    return node.op_type == "Reshape" and len(node.input) == 2 and not any(
        a.name == "allowzero" and a.i for a in node.attribute
    )  # fmt: skip


def _loosen(tensor: Any, rows: int, helper: Any) -> None:
    shape = helper.to_array(tensor).copy()
    if shape.ndim == 1 and shape.size > 1 and shape[0] == rows:
        shape[0] = 0
        tensor.CopyFrom(helper.from_array(shape, tensor.name))


def in_parts(ask: Any, inputs: Mapping[str, Array], rows: int) -> dict[str, Array]:
    """Answers of a model of `rows` rows to any multiple of them, `rows` at a time.

    Raises InvalidInput where an output has another first axis than the inputs.
    """
    count = len(next(iter(inputs.values())))
    parts = [ask({n: a[at : at + rows] for n, a in inputs.items()}) for at in range(0, count, rows)]
    for name, array in parts[0].items():
        if array.ndim == 0 or len(array) != rows:
            raise InvalidInput(
                f"output {name!r} has not a row for each of the inputs'",
                came=list(array.shape),
                allowed=f"[{rows}, ...]; a model that answers for its batch as a whole cannot be served",
            )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
