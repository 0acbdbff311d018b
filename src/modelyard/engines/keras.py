"""The keras engine: a `.keras` file in safe mode, on the backend that it was made with, for what has no ONNX form.

Source: Keras 3, "Whole model saving & loading". Safe mode refuses layers that carry code (Lambda); the file's own
configuration is inspected before it becomes a version (`modelyard.trust.inspection`).
"""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.engines import savedmodel
from modelyard.engines.contract import Array, EngineOptions, Tensors
from modelyard.errors import InvalidInput, MissingExtra
from modelyard.types.tensor import Signature


class KerasEngine:
    """A model that is called without training's parts."""

    def __init__(self, model: Any, tensors: Signature) -> None:
        self._model = model
        self._inputs = [t.name for t in tensors.inputs]
        self._outputs = [t.name for t in tensors.outputs]

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """See `engines.contract.Engine.run`."""
        import keras

        values = [inputs[name] for name in self._inputs]
        try:
            answers = self._model(values[0] if len(values) == 1 else values, training=False)
        except Exception as error:  # of whatever backend
            shapes = {name: list(inputs[name].shape) for name in self._inputs}
            raise InvalidInput("the model cannot run on these tensors", came=shapes) from error
        flat = [_array(a) for a in keras.tree.flatten(answers)]
        return dict(zip(self._outputs, flat, strict=True))


def create(path: Path, tensors: Signature, options: EngineOptions) -> KerasEngine:
    """Open a `.keras` file. Raises InvalidInput for what safe mode refuses, MissingExtra."""
    return KerasEngine(load_model(path, options.threads), tensors)


def load_model(path: Path, threads: int | None) -> Any:
    """Raises InvalidInput, MissingExtra."""
    if (
        "KERAS_BACKEND" not in os.environ
        and find_spec("tensorflow") is None
        and find_spec("torch") is not None
    ):
        os.environ["KERAS_BACKEND"] = "torch"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import keras
    except ImportError as error:
        raise MissingExtra("keras", "tensorflow") from error
    if threads is not None:
        _limit_threads(str(keras.config.backend()), threads)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # broken files make it raise whatever it stumbles over
        raise InvalidInput(
            "this .keras file cannot be opened in safe mode", came=type(error).__name__
        ) from error


def _limit_threads(backend: str, threads: int) -> None:
    if backend == "torch":
        import torch

        torch.set_num_threads(threads)
    elif backend == "tensorflow":
        savedmodel.limit_threads(threads)


def _array(value: Any) -> Array:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value)
