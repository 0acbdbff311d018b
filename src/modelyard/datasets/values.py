"""What values look like, and turning them into their column's kind.

The same rules hold for every format: a column's kind follows from what its values are, not from how a file
spells them. So whole numbers are integers whether they came as `1`, `1.0` or a double, and a string column of
numbers is numbers. What must stay text (a postcode with a leading zero does so by itself) is said in the
options."""

from functools import cache
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from modelyard.errors import InvalidInput
from modelyard.types.dataset import ColumnKind

TEXT_MISSING: Final = ("", "NaN", "nan", "null", "NULL", "N/A", "n/a", "#N/A", "<NA>")
"""Strings that mean missing in any column. NA and None stay: they are names and codes too."""

NUMBER_MISSING: Final = (*TEXT_MISSING, "NA", "None", "none", "NAN", "Null", "?", "-")
"""Strings that mean missing where the other values are numbers, booleans or times."""

EXACT: Final = 2**53
"""Doubles hold every whole number up to here."""

_ODD_NUMBER = r"^[+-]?0[0-9xX]"  # a code with leading zeros, or hexadecimal: not a number's plain form
_DATE = r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?"
_NAIVE = _DATE + "$"
_ZONED = _DATE + r"(Z|[+-]\d{2}:?\d{2})$"

_TYPES: Final[dict[str, Any]] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "text": pa.string(),
    "timestamp": pa.timestamp("us"),
    "image": pa.binary(),
    "audio": pa.binary(),
}


def arrow_type(kind: ColumnKind) -> Any:
    """The Parquet type of a kind."""
    return _TYPES[kind]


def as_text(array: Any) -> Any:
    """A plain array as strings, missing ones null."""
    return without(array if pa.types.is_string(array.type) else array.cast(pa.string()), TEXT_MISSING)


def without(array: Any, markers: tuple[str, ...]) -> Any:
    """Strings with those in `markers` made null."""
    found = pc.is_in(array, value_set=_marker_set(markers))
    return pc.if_else(found, pa.scalar(None, pa.string()), array) if pc.any(found).as_py() else array


def bare(array: Any) -> Any:
    """Strings as numbers and times are read: no blanks around them, markers of missing ones null."""
    return without(pc.utf8_trim_whitespace(array), NUMBER_MISSING)


def parsed(array: Any, form: str) -> Any | None:
    """Bare strings as "integer" (int64), "number" (double), "boolean", "naive" or "zoned" time
    (timestamp[us], UTC); None where a value is not of that form."""
    try:
        return _PARSERS[form](array)
    except pa.ArrowInvalid:
        return None


def is_whole(array: Any) -> bool:
    """Whether doubles are all whole numbers of at most EXACT."""
    known = array.drop_null()
    if not len(known):
        return True
    held = pc.and_(pc.equal(pc.floor(known), known), pc.less_equal(pc.abs(known), float(EXACT)))
    return bool(pc.all(held).as_py())


def convert(array: Any, name: str, kind: ColumnKind, first_row: int) -> Any:
    """A plain array as the Parquet type of `kind`.

    Raises InvalidInput naming the first value that cannot be one, with its row (from 1; `first_row` is the
    array's)."""
    result = _converted(array, kind)
    if result is None:
        row, value = _first_misfit(array, kind)
        raise InvalidInput(
            f"column {name!r} holds a value that is not of its kind",
            came=f"{value} in row {first_row + row}",
            allowed=f"{kind} or nothing; or give the column another kind",
        )
    return result


@cache
def _marker_set(markers: tuple[str, ...]) -> Any:
    return pa.array(markers, pa.string())


def _integer(array: Any) -> Any:
    if _any_match(array, _ODD_NUMBER):
        raise pa.ArrowInvalid("a number with a leading zero")
    return pc.replace_substring_regex(array, r"^\+", "").cast(pa.int64())


def _number(array: Any) -> Any:
    if _any_match(array, _ODD_NUMBER):
        raise pa.ArrowInvalid("a number with a leading zero")
    return _finite_or_null(array.cast(pa.float64()))


def _boolean(array: Any) -> Any:
    lower = pc.utf8_lower(array)
    if not _all(pc.is_in(lower.drop_null(), value_set=_marker_set(("true", "false")))):
        raise pa.ArrowInvalid("not a boolean")
    return pc.equal(lower, "true")


def _naive(array: Any) -> Any:
    _demand(array, _NAIVE)
    return array.cast(pa.timestamp("us"))


def _zoned(array: Any) -> Any:
    _demand(array, _ZONED)
    return array.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))


_PARSERS = {"integer": _integer, "number": _number, "boolean": _boolean, "naive": _naive, "zoned": _zoned}


def _any_match(array: Any, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(array, pattern)).as_py())


def _demand(array: Any, pattern: str) -> None:
    if not _all(pc.match_substring_regex(array, pattern)):
        raise pa.ArrowInvalid("not of this form")


def _all(array: Any) -> bool:
    return pc.all(array).as_py() is not False  # None: there are no values


def _finite_or_null(array: Any) -> Any:
    """Doubles with NaN made null; infinities stay."""
    return pc.if_else(pc.is_nan(array), pa.scalar(None, pa.float64()), array)


def _converted(array: Any, kind: ColumnKind) -> Any | None:
    """None where a value does not fit."""
    if kind in ("category", "text"):
        return None if pa.types.is_binary(array.type) else as_text(array)
    if pa.types.is_string(array.type):
        return _from_strings(bare(array), kind)
    try:
        return _from_typed(array, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _from_strings(array: Any, kind: ColumnKind) -> Any | None:
    if kind == "integer":
        whole = parsed(array, "integer")
        return whole if whole is not None else _to_integer(parsed(array, "number"))
    if kind == "timestamp":
        naive = parsed(array, "naive")
        return naive if naive is not None else parsed(array, "zoned")
    return parsed(array, kind) if kind in _PARSERS else None


def _from_typed(array: Any, kind: ColumnKind) -> Any | None:
    wanted = arrow_type(kind)
    if kind == "integer" and pa.types.is_floating(array.type):
        return _to_integer(array)
    if array.type == wanted or pa.types.is_null(array.type):
        return array.cast(wanted)
    fits = (kind == "number" and (pa.types.is_integer(array.type) or pa.types.is_boolean(array.type))) or (
        kind == "integer" and pa.types.is_boolean(array.type)
    )
    if kind == "boolean" and pa.types.is_integer(array.type):
        return array.cast(wanted) if _all(pc.is_in(array.drop_null(), value_set=pa.array([0, 1]))) else None
    if not fits:
        return None
    steps = array.cast(pa.int64()) if pa.types.is_boolean(array.type) else array
    return steps.cast(wanted, safe=False)


def _to_integer(array: Any | None) -> Any | None:
    if array is None or not is_whole(array):
        return None
    return array.cast(pa.int64())


def _first_misfit(array: Any, kind: ColumnKind) -> tuple[int, str]:
    for row in range(len(array)):
        if _converted(array.slice(row, 1), kind) is None:
            value = array[row].as_py()
            return row, "an encoded file" if isinstance(value, bytes) else repr(value)[:80]
    return 0, "values of more than one form"  # each fits alone, as times with and without a zone
