"""Golden rows: inputs with the answers of the framework that made the model, for every engine to be held to.

One safetensors file. Tensors of numbers stand as they are; a tensor of texts (BYTES) stands as the UTF-8 bytes of
its rows as JSON, in one dimension.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import Corrupt
from modelyard.types.package import Golden
from modelyard.types.tensor import Signature, TensorSpec

Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]
GoldenSet = tuple[Tensors, Tensors]
"""Inputs and outputs, each tensor with the same rows."""

FILE: Final = "golden.safetensors"
ROWS: Final = 64
_RTOL: Final = 1e-4
_ATOL: Final = 1e-5  # of the largest answer


def write(folder: Path, inputs: Tensors, outputs: Tensors) -> Golden:
    """golden.safetensors with one set. See `write_sets`."""
    return write_sets(folder, [(inputs, outputs)])


def write_sets(folder: Path, sets: Sequence[GoldenSet]) -> Golden:
    """golden.safetensors with every set; all have the same number of rows.

    The tolerance is what float32 arithmetic in another order may differ by: 1e-4 of an answer and 1e-5 of
    the largest.
    """
    from safetensors.numpy import save_file

    tensors = {
        f"{_prefix(number)}{side}.{name}": _stored(value)
        for number, pair in enumerate(sets)
        for side, named in zip(("inputs", "outputs"), pair, strict=True)
        for name, value in named.items()
    }
    save_file(tensors, folder / FILE)
    outputs = [value for _, named in sets for value in named.values() if value.dtype != object]
    scale = max(1.0, *(float(np.abs(value).max(initial=0)) for value in outputs)) if outputs else 1.0
    rows = len(next(iter(sets[0][1].values())))
    golden = Golden(file=FILE, rows=rows, rtol=_RTOL, atol=_ATOL * scale)
    return golden if len(sets) == 1 else msgspec.structs.replace(golden, sets=len(sets))


def read_sets(folder: Path, golden: Golden, tensors: Signature) -> list[GoldenSet]:
    """Every set. Raises Corrupt where the file does not hold the tensors that the manifest names."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = load_file(folder / golden.file)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise Corrupt.because(golden.file, "is not a safetensors file") from error
    count = golden.sets if isinstance(golden.sets, int) else 1
    sides = (("inputs", tensors.inputs), ("outputs", tensors.outputs))
    wanted = {f"{_prefix(n)}{side}.{t.name}" for n in range(count) for side, specs in sides for t in specs}
    if set(found) != wanted:
        raise Corrupt.because(
            golden.file, "holds other tensors than the model has", came=sorted(found), allowed=wanted
        )
    sets = [
        tuple(
            {t.name: _read(golden, found[f"{_prefix(n)}{side}.{t.name}"], t) for t in specs}
            for side, specs in sides
        )
        for n in range(count)
    ]
    return [(inputs, outputs) for inputs, outputs in sets]


def _prefix(number: int) -> str:
    return f"{number}." if number else ""


def _stored(value: Array) -> Array:
    if value.dtype.kind not in "OUS":
        return np.ascontiguousarray(value)
    texts = [[_text(cell) for cell in np.ravel(row)] for row in value]
    return np.frombuffer(json.dumps([list(value.shape[1:]), texts]).encode(), np.uint8)


def _read(golden: Golden, stored: Array, spec: TensorSpec) -> Array:
    value = _texts(golden, stored) if spec.datatype == "BYTES" else stored
    if golden.rows < 1 or value.ndim < 1 or len(value) != golden.rows:
        raise Corrupt.because(golden.file, "has other rows than the manifest says", allowed=golden.rows)
    return value


def _texts(golden: Golden, stored: Array) -> Array:
    try:
        shape, rows = json.loads(stored.tobytes())
        cells = [cell.encode() for row in rows for cell in row]
        value = np.empty(len(cells), object)
        value[:] = cells
        return value.reshape(len(rows), *shape)
    except (ValueError, TypeError, AttributeError, UnicodeError) as error:
        raise Corrupt.because(golden.file, "has texts that cannot be read") from error


def _text(cell: Any) -> str:
    return cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)
