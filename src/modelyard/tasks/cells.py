"""Cells of a table, as callers and data sets write them, into arrays. Hostile values end as InvalidInput."""

import datetime
import math
import re
from itertools import chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput

_PLAIN: Final = {int, float, type(None)}
_NUMBER: Final = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_LONGEST: Final = 400  # characters of a number as text


def as_number(name: str, kind: str, values: Any) -> npt.NDArray[np.float64]:
    """Values of a number, integer, boolean or timestamp column as float64 [rows], NaN for missing.

    Text is taken where it is a plain number (or an ISO 8601 time in a timestamp column): forms send text.
    """
    if isinstance(values, np.ndarray) and values.dtype != object:
        return _array(name, kind, values)
    cells = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if not set(map(type, cells)) <= _PLAIN:
        cells = [_number(name, kind, cell) for cell in cells]
    try:
        out = np.array(cells, dtype=np.float64)
    except OverflowError:
        raise InvalidInput(f"column {name!r} holds a number that is too large") from None
    return _without_infinity(name, out)


def plain_matrix(columns: list[list[Any]]) -> npt.NDArray[np.float64] | None:
    """Lists of one length as float64 [columns, rows] in one call, where all cells are numbers or None; else
    None.

    `as_number` gives the same column by column, and the error where there is one.
    """
    if not set(map(type, chain.from_iterable(columns))) <= _PLAIN:
        return None
    try:
        matrix = np.array(columns, dtype=np.float64)
    except OverflowError:
        return None
    return None if np.isinf(matrix).any() else matrix


def as_category(name: str, values: Any) -> npt.NDArray[np.object_]:
    """Values of a category column as UTF-8 bytes [rows], b"" for missing. Numbers are written as their
    text."""
    cells = values.tolist() if isinstance(values, np.ndarray) else list(values)
    out = np.empty(len(cells), dtype=object)
    out[:] = [cell if type(cell) is bytes else _text(name, cell) for cell in cells]
    return out


def _array(name: str, kind: str, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    if values.ndim != 1:
        raise InvalidInput(f"column {name!r} needs the shape [rows]", came=list(values.shape))
    if values.dtype.kind == "M" and kind == "timestamp":
        micros = values.astype("datetime64[us]")
        return np.where(np.isnat(micros), np.nan, micros.astype(np.int64) / 1e6)
    if values.dtype.kind == "b" and kind != "boolean":
        raise _wrong(name, kind, bool(values[0]) if len(values) else "booleans")
    if values.dtype.kind not in "buif":
        raise _wrong(name, kind, str(values.dtype))
    return _without_infinity(name, values.astype(np.float64))


def _without_infinity(name: str, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if np.isinf(values).any():
        raise InvalidInput(
            f"column {name!r} holds an infinite value", allowed="finite numbers, null for missing"
        )
    return values


def _number(name: str, kind: str, cell: Any) -> float | None:
    if cell is None or cell is np.ma.masked:
        return None
    if isinstance(cell, bool | np.bool_):
        if kind == "boolean":
            return float(cell)
    elif isinstance(cell, int | float | np.integer | np.floating):
        return _float(name, cell)
    elif isinstance(cell, str | bytes):
        return _number_from_text(name, kind, cell)
    elif isinstance(cell, datetime.datetime | np.datetime64) and kind == "timestamp":
        return float(_array(name, kind, np.array([cell], dtype="datetime64[us]"))[0])
    raise _wrong(name, kind, cell)


def _float(name: str, cell: Any) -> float:
    try:
        return float(cell)
    except OverflowError:
        raise InvalidInput(f"column {name!r} holds a number that is too large") from None


def _number_from_text(name: str, kind: str, cell: str | bytes) -> float | None:
    text = cell.decode("utf-8", "replace") if isinstance(cell, bytes) else cell
    if not text.strip():
        return None
    if kind == "boolean" and text.strip().lower() in ("true", "false"):
        return float(text.strip().lower() == "true")
    if len(text) <= _LONGEST and _NUMBER.fullmatch(text):
        return float(text)
    if kind == "timestamp" and (seconds := _seconds(text)) is not None:
        return seconds
    raise _wrong(name, kind, cell)


def _seconds(text: str) -> float | None:
    """ISO 8601 as seconds since the epoch; without a zone it is UTC."""
    try:
        time = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=datetime.UTC)).timestamp()


def _text(name: str, cell: Any) -> bytes:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return b""
    if isinstance(cell, str):
        try:
            return cell.encode()
        except UnicodeEncodeError:
            raise InvalidInput(f"column {name!r} holds text that is not Unicode") from None
    if isinstance(cell, bool):
        return b"true" if cell else b"false"
    if isinstance(cell, int | float):
        return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell).encode()
    raise _wrong(name, "category", cell)


def _wrong(name: str, kind: str, cell: Any) -> InvalidInput:
    allowed = {
        "category": "text, null for missing",
        "boolean": "true, false, null for missing",
        "timestamp": "ISO 8601 text, seconds since the epoch, null for missing",
    }.get(kind, "a finite number, null for missing")
    return InvalidInput(f"column {name!r} ({kind}) holds a value of a wrong kind", came=cell, allowed=allowed)
