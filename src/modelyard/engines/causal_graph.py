"""A causal language model of one layer as an OpenVINO graph, with the inputs and state that GenAI looks for.

Inputs input_ids, attention_mask, position_ids [rows, tokens] int64 and beam_idx [rows] int32; keys and values in
state, gathered by beam_idx; logits [rows, tokens, vocabulary] float32: as optimum-intel exports causal models.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

_INPUTS: Final = {"input_ids": 2, "attention_mask": 2, "position_ids": 2, "beam_idx": 1}
_HIDDEN: Final = -1e4  # added to what a query is not to see


def identity(node: Any) -> Any:
    return node


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Nodes of nodes: `embed` of ids and places [rows, tokens] gives [rows, tokens, width] float32; queries, keys
    and values are made of that; `head` makes logits of what attention found. `width` of the one head."""

    width: int
    embed: Callable[[Any, Any], Any]
    head: Callable[[Any], Any]
    queries: Callable[[Any], Any] = identity
    keys: Callable[[Any], Any] = identity
    values: Callable[[Any], Any] = identity


def causal_graph(layer: Layer) -> Any:
    """The openvino.Model."""
    import openvino
    from openvino import opset13 as ops

    ids, mask, places, rows = (_input(name, axes) for name, axes in _INPUTS.items())
    hidden = layer.embed(ids, places)
    states = [
        _kept(name, _heads(make(hidden), layer.width), ids, rows)
        for name, make in (("keys", layer.keys), ("values", layer.values))
    ]
    found = ops.scaled_dot_product_attention(
        _heads(layer.queries(hidden), layer.width),
        *(whole for _, whole in states),
        _bias(mask),
        _number(layer.width**-0.5),
        causal=False,
    )
    flat = ops.reshape(
        ops.transpose(found, ops.constant([0, 2, 1, 3])), ops.constant([0, 0, layer.width]), True
    )
    logits = layer.head(flat)
    logits.output(0).get_tensor().set_names({"logits"})
    stores = [store for store, _ in states]
    return openvino.Model([ops.result(logits)], stores, [ids, mask, places, rows], "causal")


def _input(name: str, axes: int) -> Any:
    import numpy as np
    from openvino import opset13 as ops

    made = ops.parameter([-1] * axes, np.int64 if axes == 2 else np.int32, name=name)
    made.output(0).get_tensor().set_names({name})
    return made


def _heads(hidden: Any, width: int) -> Any:
    """[rows, 1, tokens, width]."""
    from openvino import opset13 as ops

    shaped = ops.reshape(hidden, ops.constant([0, 0, 1, width]), True)
    return ops.transpose(shaped, ops.constant([0, 2, 1, 3]))


def _bias(mask: Any) -> Any:
    from openvino import opset13 as ops

    seen = ops.unsqueeze(ops.convert(mask, "f32"), ops.constant([1, 2]))
    return ops.multiply(ops.subtract(_number(1.0), seen), _number(_HIDDEN))


def _kept(name: str, heads: Any, ids: Any, rows: Any) -> tuple[Any, Any]:
    """The store of one state, and all that it holds with these heads."""
    import openvino
    from openvino import opset13 as ops
    from openvino.op.util import Variable, VariableInfo

    width = heads.get_output_partial_shape(0)[3].get_length()
    info = VariableInfo()
    info.data_shape, info.data_type = openvino.PartialShape([-1, 1, -1, width]), openvino.Type.f32
    info.variable_id = name
    variable = Variable(info)
    batch = ops.gather(ops.shape_of(ids), ops.constant([0]), ops.constant(0))
    empty = ops.concat([batch, ops.constant([1]), ops.constant([0]), ops.constant([width])], 0)
    before = ops.read_value(ops.broadcast(_number(0.0), empty), variable)
    whole = ops.concat([ops.gather(before, rows, ops.constant(0)), heads], 2)
    return ops.assign(whole, variable), whole


def _number(value: float) -> Any:
    import numpy as np
    from openvino import opset13 as ops

    return ops.constant(np.float32(value))
