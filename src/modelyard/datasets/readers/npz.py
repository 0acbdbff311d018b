"""npz: arrays by name, without pickled objects."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy

from modelyard.datasets.archive import members, open_archive
from modelyard.datasets.entries import DAMAGED, Entry
from modelyard.datasets.readers import Reader
from modelyard.datasets.readers.memory import ArrayPart, ArrayReader
from modelyard.datasets.readers.tables import MAX_COLUMNS, checked_names
from modelyard.errors import InvalidInput, NotAllowedFormat, TooLarge
from modelyard.tasks.images import MAX_PIXELS
from modelyard.types.dataset import ColumnKind

MAX_BYTES: Final = 4 * 1024**3
_SPLITS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_HINT = (
    "x_train, y_train, x_test, y_test (and x_val, y_val), or x and y, or one-dimensional arrays of equal "
    "length; x is [rows, columns] of numbers, or uint8 images [rows, height, width(, 1, 3 or 4)]"
)

Array = np.ndarray[Any, Any]


def open_entries(entries: Sequence[Entry]) -> Reader:
    """One npz. Its arrays are held in memory, MAX_BYTES of them at most.

    Raises NotAllowedFormat for arrays of objects (from their header: nothing is unpickled), TooLarge,
    InvalidInput."""
    if len(entries) != 1:
        raise InvalidInput("more than one npz", came=", ".join(e.name for e in entries), allowed="one")
    arrays = _load(entries[0])
    parts = _parts(arrays)
    for part in parts:
        _check_lengths(part)
    first = parts[0]
    for part in parts[1:]:
        if part.columns.keys() != first.columns.keys():
            raise InvalidInput(
                "the npz's splits have not the same arrays", came=", ".join(arrays), allowed=_HINT
            )
    checked_names(list(first.columns), entries[0].name)
    kinds: dict[str, ColumnKind] = {
        name: "image" for name, values in first.columns.items() if values.ndim > 1
    }
    return ArrayReader(parts=parts, kinds=kinds, label="label" if "label" in first.columns else None)


def _load(entry: Entry) -> dict[str, Array]:
    with open_archive(entry.disk_path, entry.name) as archive:
        found = members(archive)
        size = sum(member.size for member in found)
        if size > MAX_BYTES:
            raise TooLarge(
                f"npz {entry.name!r}", came=f"{size:,} bytes of arrays", allowed=f"at most {MAX_BYTES:,}"
            )
        return {member.name.removesuffix(".npy"): _read(member) for member in found}


def _read(member: Entry) -> Array:
    """One .npy (NumPy enhancement proposal 1)."""
    try:
        with member.open() as file:
            shape, dtype = _header(file)
            if dtype.hasobject:
                raise NotAllowedFormat(
                    f"array {member.name!r} holds pickled objects",
                    came=str(dtype),
                    allowed="numbers, booleans, strings",
                )
            if int(np.prod(shape, dtype=object)) * dtype.itemsize > member.size:
                raise InvalidInput(f"array {member.name!r} is cut off", came=f"shape {shape}")
        with member.open() as file:
            return np.asarray(npy.read_array(file, allow_pickle=False))
    except (*DAMAGED, ValueError, OSError, SyntaxError) as error:
        raise InvalidInput(f"array {member.name!r} cannot be read") from error


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _parts(arrays: dict[str, Array]) -> list[ArrayPart]:
    lower = {name.lower(): values for name, values in arrays.items()}
    if "x" in lower:
        return [_features(lower["x"], lower.get("y"), None)]
    parts = [
        _features(lower[f"x_{word}"], lower.get(f"y_{word}"), split)
        for word, split in _SPLITS.items()
        if f"x_{word}" in lower
    ]
    if parts:
        return parts
    if not arrays or any(values.ndim != 1 for values in arrays.values()):
        shapes = ", ".join(f"{name} {values.shape}" for name, values in arrays.items())
        raise InvalidInput(
            "the npz's arrays cannot be made columns", came=shapes or "no arrays", allowed=_HINT
        )
    return [ArrayPart(columns={name: _checked(name, values) for name, values in arrays.items()})]


def _features(x: Array, y: Array | None, split: str | None) -> ArrayPart:
    columns: dict[str, Array] = {}
    if x.ndim == 1:
        columns["x"] = _checked("x", x)
    elif x.ndim == 2:
        if x.shape[1] > MAX_COLUMNS:
            raise TooLarge(
                "array 'x' of the npz", came=f"{x.shape[1]} columns", allowed=f"at most {MAX_COLUMNS}"
            )
        columns = {f"x{place}": _checked("x", x[:, place]) for place in range(x.shape[1])}
    else:
        columns["image"] = _pixels(x)
    if y is not None:
        flat = y.reshape(len(y)) if y.ndim == 2 and y.shape[1] == 1 else y
        if flat.ndim != 1:
            raise InvalidInput("array 'y' of the npz", came=f"shape {y.shape}", allowed="[rows] or [rows, 1]")
        columns["label"] = _checked("y", flat)
    return ArrayPart(columns=columns, split=split)


def _pixels(x: Array) -> Array:
    channels = x.shape[3] if x.ndim == 4 else 1
    if x.dtype != np.uint8 or x.ndim > 4 or channels not in (1, 3, 4) or 0 in x.shape[1:]:
        raise InvalidInput("array 'x' of the npz", came=f"{x.dtype} of shape {x.shape}", allowed=_HINT)
    if x.shape[1] * x.shape[2] > MAX_PIXELS:
        raise TooLarge(
            "array 'x' of the npz",
            came=f"images of {x.shape[1]} x {x.shape[2]}",
            allowed=f"{MAX_PIXELS // 1_000_000} megapixels",
        )
    return x


def _checked(name: str, values: Array) -> Array:
    if values.dtype.kind not in "fiubUS":
        raise InvalidInput(
            f"array {name!r} of the npz", came=f"type {values.dtype}", allowed="numbers, booleans, strings"
        )
    if values.dtype.kind != "S":
        return values
    try:
        return np.char.decode(values, "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"array {name!r} of the npz holds bytes that are not UTF-8") from error


def _check_lengths(part: ArrayPart) -> None:
    lengths = {name: len(values) for name, values in part.columns.items()}
    if len(set(lengths.values())) != 1:
        raise InvalidInput(
            "the npz's arrays have not as many rows", came=str(lengths), allowed="equal lengths"
        )
