"""TensorFlow SavedModels and modules: ONNX through tf2onnx where it answers alike, else the SavedModel.

Source: TensorFlow, "Using the SavedModel format"; what is served is the signature `serving_default`, or the
module's one `tf.function`-decorated `__call__` with an input signature.
"""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.conversion import onnx_graph
from modelyard.conversion.contract import Form, Job, Subject
from modelyard.conversion.examples import as_arrays, drawn, enough_rows, golden_sets
from modelyard.conversion.likelihood import likely_example
from modelyard.engines.savedmodel import FOLDER, SIGNATURE, archive, ask_signature
from modelyard.errors import InvalidInput, MissingExtra
from modelyard.packages.golden import Array
from modelyard.types.package import NetRef
from modelyard.types.tensor import Signature

_OPSET: Final = 18


def load(path: Path) -> Any:
    """A SavedModel's folder. Raises InvalidInput, MissingExtra."""
    from modelyard.engines.savedmodel import load_model

    return load_model(path)


def subject(model: Any, job: Job) -> Subject:
    """See `contract.Framework`. Raises InvalidInput for a module without a serving signature."""
    folder = job.work / FOLDER
    function = _signature_of(model, folder)
    specs = {str(name): spec for name, spec in function.structured_input_signature[1].items()}
    example = enough_rows(_example(function, specs, job))
    free = {n: tuple(a for a, size in enumerate(s.shape) if a and size is None) for n, s in specs.items()}

    def ask(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return ask_signature(function, inputs)

    golden = golden_sets(example, free, ask)
    outputs = tuple(
        onnx_graph.spec_of(n, a, _loose(function.structured_outputs[n])) for n, a in golden[0][1].items()
    )
    inputs = tuple(onnx_graph.spec_of(n, example[n], free[n]) for n in specs)
    tensors = Signature(inputs=inputs, outputs=outputs)
    return Subject(
        tensors=tensors,
        golden=golden,
        forms=_forms(function, folder, tensors),
        net=NetRef(name=type(model).__name__.strip("_"), framework="tensorflow"),
        libraries=("tensorflow-cpu", "tf2onnx"),
    )


def _signature_of(model: Any, folder: Path) -> Any:
    """The serving signature of what was saved and loaded again, so that it is what will be served."""
    import tensorflow as tf

    try:
        tf.saved_model.save(model, str(folder), signatures=getattr(model, "signatures", None) or None)
        loaded = tf.saved_model.load(str(folder))
    except (ValueError, TypeError, AssertionError, tf.errors.OpError) as error:
        raise InvalidInput("this module cannot be saved", came=type(error).__name__) from error
    function = dict(loaded.signatures).get(SIGNATURE)
    if function is None:
        raise InvalidInput(
            "the module has no serving signature",
            came=sorted(map(str, loaded.signatures)) or "none",
            allowed="a __call__ with @tf.function(input_signature=[tf.TensorSpec([None, 28, 28], tf.float32)])",
        )
    function._modelyard_owner = loaded  # its variables live as long as what holds them
    return function


def _loose(spec: Any) -> tuple[int, ...]:
    return tuple(a for a, size in enumerate(spec.shape) if a and size is None)


def _example(function: Any, specs: Mapping[str, Any], job: Job) -> dict[str, Array]:
    names = list(specs)
    dtypes = {n: np.dtype(s.dtype.as_numpy_dtype) for n, s in specs.items()}
    if job.example is not None:
        given = as_arrays(job.example, names)
        return {n: given[n].astype(dtypes[n]) for n in names}
    if len(names) == 1 and None not in specs[names[0]].shape[1:]:
        likely = likely_example(
            job.origin,
            tuple(specs[names[0]].shape[1:]),
            lambda x: next(iter(ask_signature(function, {names[0]: x}).values())),
        )
        if likely is not None:
            return {names[0]: likely.astype(dtypes[names[0]])}
    return {n: drawn(s.shape, dtypes[n]) for n, s in specs.items()}


def _forms(function: Any, folder: Path, tensors: Signature) -> tuple[Form, ...]:
    def exported(target: Path) -> str:
        return _to_onnx(function, tensors, target)

    def native(target: Path) -> str:
        shutil.copytree(folder, target / FOLDER)
        return archive(target / FOLDER)

    return (Form(format="onnx", save=exported), Form(format="savedmodel", save=native))


def _to_onnx(function: Any, tensors: Signature, target: Path) -> str:
    try:
        import tensorflow as tf
        import tf2onnx
    except ImportError as error:
        raise MissingExtra("tf2onnx", "tensorflow") from error
    names = [t.name for t in tensors.inputs]
    given = function.structured_input_signature[1]
    signature = [tf.TensorSpec(given[n].shape, given[n].dtype, name=n) for n in names]

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def asked(*values: Any) -> Any:
        return function(**dict(zip(names, values, strict=True)))

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # what it cannot do is said below
    model, _ = tf2onnx.convert.from_function(asked, input_signature=signature, opset=_OPSET)
    onnx_graph.check_operators(model)
    old = [v.name for v in model.graph.input]
    renamed = dict(zip(old, names, strict=True))
    # Structured outputs are flattened by the order of their names.
    outputs = sorted(t.name for t in tensors.outputs)
    renamed |= dict(zip([v.name for v in model.graph.output], outputs, strict=True))
    onnx_graph.rename(model, renamed)
    (target / "model.onnx").write_bytes(model.SerializeToString())
    return "model.onnx"
