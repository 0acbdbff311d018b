"""The torch engine: a `.pt2` file (torch.export's archive) for what has no ONNX form.

Source: torch.export.save and load, PyTorch documentation. A program is a graph of PyTorch's operators without
Python code; what else a file may hold is inspected before it becomes a version
(`modelyard.trust.inspection`).
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.engines.contract import Array, EngineOptions, Tensors
from modelyard.errors import InvalidInput, MissingExtra
from modelyard.types.tensor import Signature


class TorchEngine:
    """A program that is called without gradients."""

    def __init__(self, module: Any, tensors: Signature) -> None:
        self._module = module
        self._inputs = [t.name for t in tensors.inputs]
        self._outputs = [t.name for t in tensors.outputs]

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """See `engines.contract.Engine.run`."""
        import torch

        values = [torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in self._inputs]
        try:
            with torch.inference_mode():
                answers = self._module(*values)
        except Exception as error:  # of whatever operator
            shapes = {name: list(inputs[name].shape) for name in self._inputs}
            raise InvalidInput("the model cannot run on these tensors", came=shapes) from error
        return dict(zip(self._outputs, _arrays(answers), strict=True))


def create(path: Path, tensors: Signature, options: EngineOptions) -> TorchEngine:
    """Open a `.pt2` file. Raises InvalidInput, MissingExtra."""
    program = load_program(path)
    import torch

    torch.set_num_threads(options.threads)
    return TorchEngine(program.module(), tensors)


def load_program(path: Path) -> Any:
    """The torch.export.ExportedProgram of a file. Raises InvalidInput, MissingExtra."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", "torch") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(path)
    except Exception as error:  # broken files make it raise whatever it stumbles over
        raise InvalidInput("this .pt2 file cannot be opened", came=type(error).__name__) from error


def flat_inputs(program: Any) -> tuple[list[str], tuple[Any, ...]]:
    """Names and example tensors of what a program is called with. Raises InvalidInput for what are no tensors."""
    import torch

    args, kwargs = program.example_inputs or ((), {})
    if kwargs or not args or not all(isinstance(a, torch.Tensor) for a in args):
        raise InvalidInput("a program needs example inputs that are tensors, without names", came=len(args))
    users = [s.arg.name for s in program.graph_signature.input_specs if s.kind.name == "USER_INPUT"]
    return users, tuple(args)


def _arrays(answers: Any) -> list[Array]:
    import torch

    if isinstance(answers, torch.Tensor):
        return [answers.numpy()]
    values = answers.values() if isinstance(answers, Mapping) else answers
    return [a.numpy() for a in values if isinstance(a, torch.Tensor)]
