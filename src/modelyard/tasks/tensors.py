"""Tensors: a model as it is, named arrays in and named arrays out, for what no other task describes.

Only models that are brought have this task (`modelyard.conversion`): a recipe cannot train it. Its preprocessing is
{"inputs": [...], "outputs": [...]}, the model's own tensors.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec
import numpy as np

from modelyard.errors import InvalidInput
from modelyard.tasks.answers import NoParameters, finite
from modelyard.tasks.base import BaseTask
from modelyard.tasks.contract import Array, Columns, TargetKind
from modelyard.tasks.options import resolve
from modelyard.types.dataset import Schema
from modelyard.types.report import Metrics
from modelyard.types.tensor import DATATYPES, Signature, TensorSpec

ONLY: Final = ""
"""The column of a value that came without a name: it is the model's one input."""


class NoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """There is nothing to fit."""


class PreparedTensors:
    """JSON values, or arrays, into the model's tensors."""

    def __init__(self, preprocessing: Mapping[str, Any]) -> None:
        self._specs = {s.name: s for s in msgspec.convert(preprocessing["inputs"], list[TensorSpec])}

    def decode(self, columns: Columns) -> dict[str, Array]:
        """Nested lists or arrays, one row each, by the names of the inputs."""
        if ONLY in columns and len(self._specs) == 1:
            columns = {next(iter(self._specs)): columns[ONLY]}
        if columns.keys() != self._specs.keys():
            came = ["a value without a name"] if ONLY in columns else sorted(columns)
            raise InvalidInput("the model has other inputs", came=came, allowed=list(self._specs))
        arrays = {name: _array(self._specs[name], value) for name, value in columns.items()}
        _check_rows(arrays)
        return arrays

    def transform(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The arrays themselves."""
        _check_rows(arrays)
        return dict(arrays)


class Tensors(BaseTask):
    """See `contract.Task`."""

    name = "tensors"
    main_metric = "none"
    target_kind: TargetKind = "number"
    options = NoOptions

    def check(self, schema: Schema, target: str) -> list[str]:
        raise InvalidInput(
            "models of the task 'tensors' are brought, not trained by a recipe",
            allowed="yard run, yard models import",
        )

    def fit(
        self, columns: Columns, schema: Schema, options: Mapping[str, Any], folder: Path | None = None
    ) -> dict[str, Any]:
        raise InvalidInput("the task 'tensors' has nothing to fit")

    def features(self, preprocessing: Mapping[str, Any]) -> list[str]:
        return [spec["name"] for spec in preprocessing["inputs"]]

    def signature(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        return msgspec.convert({k: preprocessing[k] for k in ("inputs", "outputs")}, Signature)

    def tensors(self, preprocessing: Mapping[str, Any], labels: Sequence[str]) -> Signature:
        return self.signature(preprocessing, labels)

    def prepare(self, preprocessing: Mapping[str, Any], folder: Path | None = None) -> PreparedTensors:
        return PreparedTensors(preprocessing)

    def sample(self, inputs: Any) -> dict[str, Any]:
        """{"input": rows}, the same below "data", or the rows of the one input."""
        if isinstance(inputs, Mapping):
            inner = inputs.get("data")
            return dict(inner if len(inputs) == 1 and isinstance(inner, Mapping) else inputs)
        if not isinstance(inputs, list):
            raise InvalidInput(
                "inputs are not tensors",
                came=type(inputs).__name__,
                allowed='a list of rows, {"input": rows}',
            )
        return {ONLY: inputs}

    def encode(
        self, outputs: Mapping[str, Array], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[Any]:
        """A row's values as nested lists; of a model with several outputs, by their names."""
        resolve(NoParameters, parameters, "parameters")
        columns = {name: _values(array) for name, array in outputs.items()}
        if len(columns) == 1:
            return next(iter(columns.values()))
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def targets(self, column: Any, labels: Sequence[str]) -> Array:
        return _no_evaluation()

    def metrics(self, outputs: Mapping[str, Array], targets: Array, labels: Sequence[str]) -> Metrics:
        return _no_evaluation()

    def main(self, outputs: Mapping[str, Array], targets: Array) -> float:
        return _no_evaluation()


def _array(spec: TensorSpec, value: Any) -> Array:
    allowed = f"{spec.datatype} {list(spec.shape)}"
    if spec.datatype == "BYTES":
        return _texts(spec, value)
    try:
        raw = np.asarray(value)
        _check_kind(spec, raw)
        with np.errstate(over="ignore"):
            array = raw.astype(DATATYPES[spec.datatype])
    except (ValueError, TypeError, OverflowError):
        raise InvalidInput(f"input {spec.name!r} is not a tensor of numbers", allowed=allowed) from None
    if array.dtype.kind in "iu" and not np.array_equal(array, raw):
        raise InvalidInput(f"input {spec.name!r} has a value out of range", allowed=spec.datatype)
    return _shaped(spec, array)


def _check_kind(spec: TensorSpec, raw: Array) -> None:
    """Integers are numbers, booleans are not; a fraction is no integer. Raises ValueError."""
    if raw.dtype.kind not in {"BOOL": "b"}.get(
        spec.datatype, "iuf" if spec.datatype.startswith("FP") else "iu"
    ):
        raise ValueError


def _texts(spec: TensorSpec, value: Any) -> Array:
    raw = np.asarray(value, dtype=object)
    cells = [c.encode() if isinstance(c, str) else c for c in raw.ravel().tolist()]
    if not all(isinstance(c, bytes) for c in cells):
        raise InvalidInput(
            f"input {spec.name!r} is not a tensor of texts", allowed=f"BYTES {list(spec.shape)}"
        )
    out = np.empty(raw.shape, object)
    out.reshape(-1)[:] = cells
    return _shaped(spec, out)


def _shaped(spec: TensorSpec, array: Array) -> Array:
    fits = array.ndim == len(spec.shape) and all(
        came >= 1 and wanted in (-1, came) for came, wanted in zip(array.shape, spec.shape, strict=True)
    )
    if not fits:
        raise InvalidInput(
            f"input {spec.name!r} has a wrong shape", came=list(array.shape), allowed=str(list(spec.shape))
        )
    return array


def _check_rows(arrays: Mapping[str, Array]) -> None:
    rows = {name: len(array) for name, array in arrays.items()}
    if len(set(rows.values())) > 1:
        raise InvalidInput("inputs need the same number of rows", came=rows)


def _values(array: Array) -> list[Any]:
    if array.dtype == object:
        return [_as_text(row) for row in array.tolist()]
    values: list[Any] = finite(array).tolist()
    return values


def _as_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_text(inner) for inner in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _no_evaluation() -> NoReturn:
    raise InvalidInput(
        "the task 'tensors' has no notion of a good answer; give the model a task to evaluate it"
    )


TASK = Tensors()
