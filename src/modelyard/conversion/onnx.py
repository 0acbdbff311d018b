"""ONNX models (https://onnx.ai, IR specification): the graph as it is, with a free batch axis asked of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.conversion import onnx_graph
from modelyard.conversion.contract import Form, Job, Subject
from modelyard.conversion.examples import as_arrays, enough_rows, golden_sets
from modelyard.engines.contract import EngineOptions
from modelyard.errors import InvalidInput, MissingExtra
from modelyard.packages.golden import Array
from modelyard.types.package import NetRef
from modelyard.types.tensor import DATATYPES, Signature, TensorSpec

_FREE_LENGTH = 8  # of an axis whose length nothing says


def load(path: Path) -> Any:
    """Raises MissingExtra, and InvalidInput for what is no ONNX model. Tensors beside the file are taken in, from
    its own folder alone."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise MissingExtra("onnx", "onnx") from error
    try:
        return onnx.load(path)
    except (DecodeError, onnx.checker.ValidationError, OSError, ValueError) as error:
        raise InvalidInput(
            "this is no ONNX model, or its tensors are not beside it", came=type(error).__name__
        ) from error


def subject(model: Any, job: Job) -> Subject:
    """See `contract.Framework`. Golden answers are ONNX Runtime's own: what is served is what was brought."""
    _check(model)
    tensors = onnx_graph.free_batch(onnx_graph.specs(model))
    example = _example(tensors, job)
    path = job.work / "brought.onnx"
    path.write_bytes(model.SerializeToString())

    def save(folder: Path) -> str:
        (folder / "model.onnx").write_bytes(path.read_bytes())
        return "model.onnx"

    ask = _asker(path, tensors)
    return Subject(
        tensors=tensors,
        golden=golden_sets(example, _free_axes(tensors), ask),
        forms=(Form(format="onnx", save=save),),
        net=NetRef(
            name=str(model.graph.name or "onnx")[:100], framework=str(model.producer_name or "onnx")[:100]
        ),
        libraries=("onnx",),
    )


def _check(model: Any) -> None:
    import onnx

    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise InvalidInput("this is no valid ONNX model", came=str(error)) from None


def _asker(path: Path, tensors: Signature) -> Any:
    from modelyard.engines.onnx import create

    engine = create(path, tensors, EngineOptions())

    def ask(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return engine.run(inputs)

    return ask


def _free_axes(tensors: Signature) -> dict[str, tuple[int, ...]]:
    return {t.name: tuple(a for a, size in enumerate(t.shape) if a and size == -1) for t in tensors.inputs}


def _example(tensors: Signature, job: Job) -> dict[str, Array]:
    if job.example is not None:
        given = as_arrays(job.example, [t.name for t in tensors.inputs])
        return enough_rows({t.name: given[t.name].astype(DATATYPES[t.datatype]) for t in tensors.inputs})
    draw = np.random.default_rng(0)
    return {t.name: _drawn(t, draw) for t in tensors.inputs}


def _drawn(spec: TensorSpec, draw: np.random.Generator) -> Array:
    """Four seeded rows. Whole numbers are 0 and 1: an index of a table must be there."""
    shape = (4, *(_FREE_LENGTH if size == -1 else size for size in spec.shape[1:]))
    if spec.datatype == "BYTES":
        texts = np.empty(shape, object)
        texts.reshape(-1)[:] = [b"a"] * texts.size
        return texts
    if spec.datatype.startswith("FP"):
        return draw.random(shape).astype(DATATYPES[spec.datatype])
    top = 256 if spec.datatype == "UINT8" else 2
    return draw.integers(0, top, shape).astype(DATATYPES[spec.datatype])
