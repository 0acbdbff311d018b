"""ONNX models (https://onnx.ai, IR specification): the graph as it is, with a free batch axis asked of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard.conversion import onnx_batch, onnx_files, onnx_graph
from modelyard.conversion.contract import Form, Job, Subject
from modelyard.conversion.examples import LEAST_ROWS, as_arrays, drawn, enough_rows, golden_sets
from modelyard.conversion.onnx_files import OnnxFiles
from modelyard.conversion.reasons import reason
from modelyard.engines.contract import EngineOptions
from modelyard.errors import InvalidInput, ModelyardError
from modelyard.packages.golden import Array, GoldenSet
from modelyard.types.package import NetRef
from modelyard.types.tensor import DATATYPES, Signature

_LENGTHS: Final = (8, 32, 224)
"""Of axes whose length nothing says: the first that the model takes."""
_RTOL, _ATOL = 1e-4, 1e-5
_FIXED: Final = (
    "its first axis is fixed to {rows} in the graph and could not be freed: rows are run {rows} at a time; export"
    " the model with a free batch axis to have them batched"
)
_FREED: Final = (
    "its first axis was fixed to {rows} and has been freed: other batch sizes answer as {rows} at a time do"
)
Ask = Callable[[Mapping[str, Array]], dict[str, Array]]


def load(path: Path) -> OnnxFiles:
    """Raises InvalidInput for what is no ONNX model, NotAllowedFormat for tensors outside of its folder,
    MissingExtra. Tensors beside the file are taken in, or stay beside it where they are too large."""
    return onnx_files.read(path)


def subject(model: Any, job: Job) -> Subject:
    """See `contract.Framework`. Golden answers are ONNX Runtime's own: what is served is what was brought."""
    files = model if isinstance(model, OnnxFiles) else OnnxFiles(model=model)
    _tell_shapes(files.model)
    found = _Brought(files, _written(files, job.work / "brought"))
    rows, golden = found.answers(job)
    tensors = onnx_graph.free_batch(found.tensors)
    chosen: Any = files.model
    notes: tuple[str, ...] = ()
    if rows is not None:
        chosen, notes = _freed(files, rows, tensors, golden, job.work / "freed")

    def save(folder: Path) -> str:
        return files.write(folder, chosen).name

    return Subject(
        tensors=tensors,
        golden=golden,
        forms=(Form(format="onnx", save=save),),
        net=NetRef(name=_short(files.model.graph.name), framework=_short(files.model.producer_name)),
        libraries=("onnx",),
        notes=notes,
    )


def _short(text: str) -> str:
    return str(text or "onnx")[:100]


def _tell_shapes(model: Any) -> None:
    """Fill in the shapes of outputs that the graph leaves open."""
    import onnx

    unknown = [v for v in model.graph.output if not v.type.tensor_type.HasField("shape")]
    if not unknown:
        return
    inferred = {v.name: v for v in onnx.shape_inference.infer_shapes(model).graph.output}
    for output in unknown:
        output.type.CopyFrom(inferred[output.name].type)


def _written(files: OnnxFiles, folder: Path) -> Path:
    """A file that holds the model. Raises InvalidInput for one that is not valid."""
    import onnx

    folder.mkdir()
    try:
        if not files.beside:  # the checker refuses hard links; ONNX Runtime checks what lies beside
            onnx.checker.check_model(files.model)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise InvalidInput("this is no valid ONNX model", came=str(error)) from None
    return files.write(folder)


@dataclass(frozen=True)
class _Brought:
    """The model as it came, that can be asked."""

    files: OnnxFiles
    path: Path

    @property
    def tensors(self) -> Signature:
        return onnx_graph.specs(self.files.model)

    def answers(self, job: Job) -> tuple[int | None, list[GoldenSet]]:
        """The fixed batch, or None, and golden answers."""
        rows = onnx_batch.fixed_rows(self.tensors)
        ask = _asker(self.path, onnx_graph.free_batch(self.tensors))
        if rows is None:
            return rows, _first_taken(self.tensors, job, ask, 1)

        def in_parts(inputs: Mapping[str, Array]) -> dict[str, Array]:
            return onnx_batch.in_parts(ask, inputs, rows)

        return rows, _first_taken(self.tensors, job, in_parts, rows)


def _first_taken(tensors: Signature, job: Job, ask: Ask, rows: int) -> list[GoldenSet]:
    """Raises InvalidInput as the last of the lengths that were tried did."""
    loose = any(-1 in t.shape[1:] for t in tensors.inputs) and job.example is None
    lengths = _LENGTHS if loose else _LENGTHS[:1]
    for length in lengths:
        try:
            return golden_sets(_example(tensors, job, rows, length), _free_axes(tensors), ask)
        except InvalidInput:
            if length == lengths[-1]:
                raise
    raise AssertionError("there is a length")


def _asker(path: Path, tensors: Signature) -> Ask:
    """ONNX Runtime as it is: the engine would run a fixed batch in parts by itself."""
    from modelyard.engines.onnx import open_whole

    return open_whole(path, tensors, EngineOptions()).run


def _freed(
    files: OnnxFiles, rows: int, tensors: Signature, golden: list[GoldenSet], work: Path
) -> tuple[Any, tuple[str, ...]]:
    """The first of the model's freed forms that answers any number of rows as it came, or the model as it came."""
    refused = ""
    changed = (onnx_batch.freed(files.model), onnx_batch.reshaped(files.model, rows))
    for number, model in enumerate(changed):
        folder = work / str(number)
        folder.mkdir(parents=True)
        try:
            _compare(_asker(files.write(folder, model), tensors), golden)
        except ModelyardError as error:
            refused = refused or reason(error)
            continue
        return model, (_FREED.format(rows=rows),)
    return files.model, (f"{_FIXED.format(rows=rows)} ({refused})",)


def _compare(ask: Ask, golden: list[GoldenSet]) -> None:
    """Raises InvalidInput where one row, three, or all at once are not answered as in the golden sets."""
    for inputs, expected in golden:
        for count in (1, 3, len(next(iter(inputs.values())))):
            found = ask({name: a[:count] for name, a in inputs.items()})
            for name, array in expected.items():
                if not _alike(found[name], array[:count]):
                    raise InvalidInput(f"{name!r} has other answers to {count} rows")


def _alike(found: Array, expected: Array) -> bool:
    if found.shape != expected.shape:
        return False
    if expected.dtype.kind not in "fiu":
        return bool((found == expected).all())
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    return bool(np.allclose(found, expected, rtol=_RTOL, atol=_ATOL * scale))


def _free_axes(tensors: Signature) -> dict[str, tuple[int, ...]]:
    return {t.name: tuple(a for a, size in enumerate(t.shape) if a and size == -1) for t in tensors.inputs}


def _example(tensors: Signature, job: Job, rows: int, length: int) -> dict[str, Array]:
    """A multiple of `rows` rows, 4 or more."""
    if job.example is not None:
        given = as_arrays(job.example, [t.name for t in tensors.inputs])
        made = enough_rows({t.name: given[t.name].astype(DATATYPES[t.datatype]) for t in tensors.inputs})
        return {name: _multiple(a, rows) for name, a in made.items()}
    least = -(-LEAST_ROWS // rows) * rows
    return {
        t.name: drawn(t.shape, DATATYPES[t.datatype], rows=least, length=length, seed=k)
        for k, t in enumerate(tensors.inputs)
    }


def _multiple(array: Array, rows: int) -> Array:
    """As many rows as a fixed batch has, or a multiple of them; where they are too few, the first come again."""
    count = max(rows, len(array) - len(array) % rows)
    return np.take(array, np.arange(count) % len(array), axis=0)
