"""What every exporter's ONNX needs: the engine's names, free axes, one file."""

from collections.abc import Mapping
from typing import Any

from modelyard.errors import InvalidInput
from modelyard.types.tensor import DATATYPES, Signature, TensorSpec

_KINDS: dict[int, str] = {
    1: "FP32", 2: "UINT8", 3: "INT8", 4: "UINT16", 5: "INT16", 6: "INT32", 7: "INT64", 8: "BYTES", 9: "BOOL",
    10: "FP16", 11: "FP64", 12: "UINT32", 13: "UINT64",
}  # fmt: skip
"""onnx.TensorProto.DataType -> datatype (ONNX IR specification, tensor element types)."""


def rename(model: Any, names: Mapping[str, str]) -> None:
    """Give graph inputs and outputs other names, everywhere in the main graph and in its subgraphs."""
    taken = {o for n in model.graph.node for o in n.output} | {i.name for i in model.graph.initializer}
    clash = {new: f"{new}_inner" for old, new in names.items() if new in taken and old != new}
    _rename_graph(model.graph, {**{k: v for k, v in clash.items() if k not in names}, **names})


def _rename_graph(graph: Any, names: Mapping[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
                _rename_graph(inner, names)


def specs(model: Any) -> Signature:
    """Inputs (without initializers) and outputs of a graph. Raises InvalidInput for what is no tensor, and for an
    output or input without a batch axis."""
    constants = {i.name for i in model.graph.initializer}
    inputs = tuple(_spec(v) for v in model.graph.input if v.name not in constants)
    return Signature(inputs=inputs, outputs=tuple(_spec(v) for v in model.graph.output))


def _spec(value: Any) -> TensorSpec:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type" or value.type.tensor_type.elem_type not in _KINDS:
        raise InvalidInput(f"{value.name!r} of the ONNX model is not a tensor", came=kind)
    tensor = value.type.tensor_type
    shape = tuple(d.dim_value if d.WhichOneof("value") == "dim_value" else -1 for d in tensor.shape.dim)
    return TensorSpec(name=value.name, datatype=_KINDS[tensor.elem_type], shape=shape)


def fill_inputs(model: Any, values: Mapping[str, Any]) -> None:
    """Make constants of the graph inputs whose values are known."""
    from onnx import numpy_helper

    for value in [v for v in model.graph.input if v.name in values]:
        model.graph.initializer.append(numpy_helper.from_array(values[value.name], value.name))
        model.graph.input.remove(value)


def check_operators(model: Any) -> None:
    """Raises InvalidInput naming operators that ONNX has not: exporters leave what they do not know."""
    from onnx import defs

    standard = [n.op_type for n in model.graph.node if n.domain in ("", "ai.onnx")]
    unknown = sorted({name for name in standard if not defs.has(name)})
    if unknown:
        raise InvalidInput("ONNX has no such operators", came=unknown)


def free_batch(signature: Signature) -> Signature:
    """The same with a free first axis: exporters give outputs shapes that are known too well."""
    free = [
        tuple(TensorSpec(name=t.name, datatype=t.datatype, shape=(-1, *t.shape[1:])) for t in side)
        for side in (signature.inputs, signature.outputs)
    ]
    return Signature(inputs=free[0], outputs=free[1])


def spec_of(name: str, array: Any, free: tuple[int, ...] = ()) -> TensorSpec:
    """The spec of a batch's array: its first axis is free, and those in `free`. Raises InvalidInput for a
    dtype that
    is none of the protocol's."""
    kinds = {dtype: name for name, dtype in DATATYPES.items()}
    kind = "BYTES" if array.dtype.kind in "OUS" else kinds.get(array.dtype.name)
    if kind is None:
        raise InvalidInput(f"{name!r} has a dtype that cannot be served", came=array.dtype, allowed=DATATYPES)
    shape = tuple(-1 if axis == 0 or axis in free else size for axis, size in enumerate(array.shape))
    return TensorSpec(name=name, datatype=kind, shape=shape)
