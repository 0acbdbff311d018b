"""Keras models of either backend (https://keras.io/api/models/): ONNX where it answers alike, else `.keras`.

On TensorFlow, Keras exports through tf2onnx; on PyTorch, through PyTorch's own exporter, which gets recurrent
layers of a free length wrong (parity finds out). A model of that backend is then exported on TensorFlow in a
process of its own, where TensorFlow is installed: its `.keras` file is of no backend.
"""

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.conversion import onnx_graph
from modelyard.conversion.contract import Answers, Form, Job, Subject
from modelyard.conversion.examples import as_arrays, drawn, enough_rows, golden_sets
from modelyard.conversion.likelihood import likely_example
from modelyard.errors import InvalidInput, MissingExtra
from modelyard.packages.golden import Array
from modelyard.types.package import NetRef
from modelyard.types.tensor import Signature

_EXPORT_SECONDS: Final = 300.0
_OPSET: Final = 18
_ON_TENSORFLOW: Final = """
import sys
import keras
model = keras.saving.load_model(sys.argv[1], compile=False, safe_mode=True)
zeros = [keras.ops.zeros([2, *(8 if n is None else n for n in t.shape[1:])], t.dtype) for t in model.inputs]
model(zeros[0] if len(zeros) == 1 else zeros)  # a recurrent layer that was never called exports wrongly
model.export(sys.argv[2], format="onnx", verbose=False)
"""


def load(path: Path) -> Any:
    """A `.keras` file, in safe mode. Raises InvalidInput, MissingExtra."""
    from modelyard.engines.keras import load_model

    return load_model(path, None)


def subject(model: Any, job: Job) -> Subject:
    """See `contract.Framework`. Raises InvalidInput for a model that was never built."""
    if not model.built or not getattr(model, "inputs", None):
        raise InvalidInput(
            "a Keras model needs a known input", allowed="Input(shape) first, or model.build(...)"
        )
    names = [_plain(name) for name in _names(model.inputs, "input")]
    example = enough_rows(_example(model, names, job))
    ask = _asker(model, names)
    free = {
        name: tuple(a for a, size in enumerate(t.shape) if a and size is None)
        for name, t in zip(names, model.inputs, strict=True)
    }
    golden = golden_sets(example, free, ask)
    tensors = _signature(names, example, free, golden[0][1], model)
    return Subject(
        tensors=tensors,
        golden=golden,
        forms=_forms(model, tensors, job),
        net=NetRef(name=str(model.name), framework="keras", config={"backend": _backend()}),
        answers=_answers(model),
        libraries=("keras", _backend() if _backend() == "torch" else "tensorflow-cpu", "tf2onnx"),
    )


def _backend() -> str:
    import keras

    return str(keras.config.backend())


def _names(tensors: Any, fallback: str) -> list[str]:
    """Keras's own names where a person gave them."""
    names = [str(t.name) for t in tensors]
    if len(names) == 1 and names[0].startswith("keras_tensor"):
        return [fallback]
    return [f"{fallback}_{k}" if n.startswith("keras_tensor") else n for k, n in enumerate(names)]


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name)


def _example(model: Any, names: list[str], job: Job) -> dict[str, Array]:
    dtypes = [np.dtype(str(t.dtype)) for t in model.inputs]
    if job.example is not None:
        given = as_arrays(job.example, names)
        return {n: given[n].astype(d) for n, d in zip(names, dtypes, strict=True)}
    if len(names) == 1 and None not in model.inputs[0].shape[1:]:
        likely = likely_example(
            job.origin, tuple(model.inputs[0].shape[1:]), lambda x: _called(model, [x])[0]
        )
        if likely is not None:
            return {names[0]: likely.astype(dtypes[0])}
        rows = job.origin.rows
        if rows is not None and rows.ndim == 2 and rows.shape[1:] == tuple(model.inputs[0].shape[1:]):
            return {names[0]: rows.astype(dtypes[0])}
    return {n: drawn(t.shape, d) for n, t, d in zip(names, model.inputs, dtypes, strict=True)}


def _asker(model: Any, names: list[str]) -> Any:
    outputs = [_plain(name) for name in _names(model.outputs, "output")]

    def ask(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(outputs, _called(model, [inputs[name] for name in names]), strict=True))

    return ask


def _called(model: Any, inputs: list[Array]) -> list[Array]:
    """`predict`, which every Keras user means by the model's answer."""
    import keras

    answers = model.predict(inputs[0] if len(inputs) == 1 else inputs, verbose=0)
    return [np.asarray(a) for a in keras.tree.flatten(answers)]


def _signature(names: list[str], example: Mapping[str, Array], free: Mapping[str, tuple[int, ...]],
               answers: Mapping[str, Array], model: Any) -> Signature:  # fmt: skip
    inputs = tuple(onnx_graph.spec_of(name, example[name], free[name]) for name in names)
    outputs = []
    for (name, array), tensor in zip(answers.items(), model.outputs, strict=True):
        loose = tuple(a for a, size in enumerate(tensor.shape) if a and size is None)
        outputs.append(onnx_graph.spec_of(name, array, loose))
    return Signature(inputs=inputs, outputs=tuple(outputs))


def _answers(model: Any) -> Answers:
    """By the activation of the last layer, where it is one of these."""
    last = model.layers[-1] if model.layers else None
    activation = getattr(getattr(last, "activation", None), "__name__", "")
    width = model.outputs[0].shape[-1] if len(model.outputs[0].shape) > 1 else 1
    if activation == "softmax":
        return "probabilities"
    return "probability" if activation == "sigmoid" and width == 1 else "unknown"


def _forms(model: Any, tensors: Signature, job: Job) -> tuple[Form, ...]:
    def native(folder: Path) -> str:
        model.save(folder / "model.keras")
        return "model.keras"

    def exported(folder: Path) -> str:
        return _renamed(lambda path: _export(model, path), tensors, folder)

    def on_tensorflow(folder: Path) -> str:
        model.save(job.work / "model.keras")
        return _renamed(lambda path: _export_apart(job.work / "model.keras", path), tensors, folder)

    def traced(folder: Path) -> str:
        return _renamed(lambda path: _trace(model, path), tensors, folder)

    forms = [Form(format="onnx", save=exported)]
    if _backend() == "tensorflow":
        forms.append(Form(format="onnx", save=traced))
    elif find_spec("tensorflow") is not None:
        forms.append(Form(format="onnx", save=on_tensorflow))
    return (*forms, Form(format="keras", save=native))


def _export(model: Any, path: Path) -> None:
    if _backend() == "tensorflow" and find_spec("tf2onnx") is None:
        raise MissingExtra("tf2onnx", "tensorflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters' own
        model.export(str(path), format="onnx", verbose=False)


def _trace(model: Any, path: Path) -> None:
    """What Keras's own exporter does on TensorFlow, with constants that layers hold (Normalization's) in the graph:
    it leaves them as inputs."""
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec(t.shape, t.dtype) for t in model.inputs]

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def forward(*values: Any) -> Any:
        return model(values[0] if len(values) == 1 else list(values), training=False)

    held = forward.get_concrete_function().graph.captures
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    exported, _ = tf2onnx.convert.from_function(forward, input_signature=signature, opset=_OPSET)
    onnx_graph.fill_inputs(exported, {i.name: e.numpy() for e, i in held if e.dtype != tf.resource})
    path.write_bytes(exported.SerializeToString())


def _export_apart(source: Path, path: Path) -> None:
    env = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", _ON_TENSORFLOW, str(source), str(path)],
        env=env,
        capture_output=True,
        timeout=_EXPORT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise InvalidInput("TensorFlow cannot export it either", came=lines[-1] if lines else done.returncode)


def _renamed(export: Any, tensors: Signature, folder: Path) -> str:
    """Export, and give inputs and outputs, which keep their order, the package's names."""
    import onnx

    path = folder / "model.onnx"
    export(path)
    model = onnx.load(path)
    constants = {i.name for i in model.graph.initializer}
    old = [v.name for v in model.graph.input if v.name not in constants]
    if len(old) != len(tensors.inputs):
        raise InvalidInput("the exported graph has other inputs than the model", came=old)
    names = dict(zip(old, [t.name for t in tensors.inputs], strict=True))
    names |= dict(zip([v.name for v in model.graph.output], [t.name for t in tensors.outputs], strict=True))
    onnx_graph.rename(model, names)
    path.write_bytes(model.SerializeToString())
    return path.name
