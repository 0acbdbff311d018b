"""A torch module as ONNX: by the exporter that traces with Dynamo, or, for recurrent nets, by the one that traces a
call."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import MissingExtra
from modelyard.nets.layers import Tensor, nn, torch
from modelyard.tasks.contract import Examples
from modelyard.training.objective import Answering, Objective, tensors
from modelyard.types.tensor import Signature


def to_onnx(objective: Objective, rows: Examples, path: Path) -> None:
    """Write `path` with the engine's names and its free axes, everything inside one file. `rows` are an example."""
    try:
        import onnxscript  # noqa: F401  what the exporter needs and does not name
    except ImportError as error:
        raise MissingExtra("onnxscript", "torch") from error
    shape = objective.job.shape
    few = rows.take(np.arange(2) % len(rows))  # two: an axis of length 1 would be taken for a constant
    given = tensors(objective.job.engine_inputs(few))
    named: dict[str, Any] = {
        "input_names": [spec.name for spec in shape.inputs],
        "output_names": [spec.name for spec in shape.outputs],
    }
    for name in (
        "onnxscript",
        "torch.onnx._internal.exporter._registration",
    ):  # notes on what is not installed
        logging.getLogger(name).setLevel(logging.ERROR)
    module = Answering(objective).eval()
    example = tuple(_long_enough(given[spec.name], spec.shape) for spec in shape.inputs)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of the exporters' own calls, and of shapes that tracing takes for granted
        if objective.job.net.exporter == "trace":
            traced(module, example, Signature(inputs=shape.inputs, outputs=shape.outputs), path)
            return
        sizes: dict[int, Any] = {}  # one object an axis, shared by all inputs that have it
        dims = tuple(
            {
                axis: sizes.setdefault(axis, torch.export.Dim(_axis(axis)))
                for axis, size in enumerate(spec.shape)
                if size < 0
            }
            for spec in shape.inputs
        )
        torch.onnx.export(
            module,
            example,
            path,
            dynamo=True,
            verbose=False,
            external_data=False,
            dynamic_shapes=(dims,),  # of forward's *inputs, which is one argument
            **named,
        )


def traced(module: nn.Module, example: Sequence[Tensor], signature: Signature, path: Path) -> None:
    """Write what a call of `module` with `example` computes, under the signature's names and with its free axes."""
    axes = {
        spec.name: {
            # An answer may be of another length than what was asked.
            axis: _axis(axis) if axis == 0 or spec in signature.inputs else f"{spec.name}_{axis}"
            for axis, size in enumerate(spec.shape)
            if size < 0
        }
        for spec in (*signature.inputs, *signature.outputs)
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(example),
            path,
            dynamo=False,
            opset_version=17,
            dynamic_axes=axes,
            input_names=[spec.name for spec in signature.inputs],
            output_names=[spec.name for spec in signature.outputs],
        )


def _axis(axis: int) -> str:
    return "rows" if axis == 0 else f"axis{axis}"


def _long_enough(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Free axes of length 1 become 2, for the same reason as rows."""
    for axis, size in enumerate(shape):
        if size < 0 and value.shape[axis] == 1:
            value = torch.cat([value, value], dim=axis)
    return value
