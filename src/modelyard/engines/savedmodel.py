"""The savedmodel engine: TensorFlow's own format, for what has no ONNX form.

Source: TensorFlow, "Using the SavedModel format". A graph is data, but some operators reach files and Python:
they are looked for before a file becomes a version (`modelyard.trust.inspection`), and the engine runs in a
sandbox.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.engines.contract import Array, EngineOptions, Tensors
from modelyard.errors import InvalidInput, MissingExtra
from modelyard.types.tensor import Signature

FOLDER: Final = "savedmodel"
SIGNATURE: Final = "serving_default"
_ENTRY: Final = "saved_model.pb"


class SavedModelEngine:
    """One serving signature."""

    def __init__(self, function: Any, tensors: Signature) -> None:
        self._function = function
        self._outputs = [t.name for t in tensors.outputs]

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """See `engines.contract.Engine.run`."""
        try:
            answers = ask_signature(self._function, inputs)
        except Exception as error:  # of whatever operator
            shapes = {name: list(a.shape) for name, a in inputs.items()}
            raise InvalidInput("the model cannot run on these tensors", came=shapes) from error
        return {name: answers[name] for name in self._outputs}


def create(path: Path, tensors: Signature, options: EngineOptions) -> SavedModelEngine:
    """Open the folder of `path`, a saved_model.pb. Raises InvalidInput, MissingExtra."""
    model = load_model(path.parent, options.threads)
    function = dict(model.signatures).get(SIGNATURE)
    if function is None:
        raise InvalidInput("the SavedModel has no serving signature", allowed=SIGNATURE)
    function._modelyard_owner = model  # its variables live as long as what holds them
    return SavedModelEngine(function, tensors)


def load_model(folder: Path, threads: int | None = None) -> Any:
    """Raises InvalidInput, MissingExtra."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise MissingExtra("tensorflow", "tensorflow") from error
    if threads is not None:
        limit_threads(threads)
    try:
        return tf.saved_model.load(str(folder))
    except Exception as error:  # broken files make it raise whatever it stumbles over
        raise InvalidInput("this SavedModel cannot be opened", came=type(error).__name__) from error


def limit_threads(threads: int) -> None:
    """Of TensorFlow, where it has not computed yet: later it keeps those that it has."""
    import tensorflow as tf

    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def archive(folder: Path) -> str:
    """The entry file of a saved folder, as a package names it; empty folders of it are removed."""
    for empty in sorted((p for p in folder.rglob("*") if p.is_dir() and not any(p.iterdir())), reverse=True):
        empty.rmdir()
    return f"{folder.name}/{_ENTRY}"


def ask_signature(function: Any, inputs: Tensors) -> dict[str, Array]:
    """A signature's answers by the names of its outputs; texts as bytes."""
    import tensorflow as tf

    answers = function(**{name: tf.constant(a) for name, a in inputs.items()})
    return {str(name): np.asarray(value.numpy()) for name, value in answers.items()}
