"""Tensors in JSON and in the binary extension of the Open Inference Protocol, to arrays and back.

Source: Open Inference Protocol, "Tensor Data" and Triton's "Binary Tensor Data Extension": row-major
elements, flat or nested as the shape; little-endian; BYTES elements with a 4-byte length before each.
"""

from itertools import chain
from struct import Struct
from typing import Any, Final

import numpy as np

from modelyard.dialects.plan import Input
from modelyard.errors import InvalidInput
from modelyard.types.tensor import DATATYPES

_LENGTH: Final = Struct("<I")
_KINDS: Final[dict[str, frozenset[type]]] = {
    "BOOL": frozenset({bool}),
    "BYTES": frozenset({str}),
    "FP16": frozenset({int, float}),
    "FP32": frozenset({int, float}),
    "FP64": frozenset({int, float}),
}
_INTEGERS: Final = frozenset({int})


def from_json(
    spec: Input, shape: list[int], data: list[Any], *, checked: bool = False
) -> np.ndarray[Any, Any]:
    """An array of `shape`, which `spec.count` has accepted. `checked`: the elements' types are known to be
    right.

    Raises:
        InvalidInput: another number of elements, a value of a wrong kind or out of the datatype's range.
    """
    if data and type(data[0]) is list:
        data, checked = _flatten(spec, shape, data), False
    _check_count(spec, len(data), spec.count(shape))
    if not checked:
        _check_kinds(spec, data)
    try:
        return _convert(spec, data).reshape(shape)
    except (OverflowError, ValueError):
        raise InvalidInput(f"input {spec.name!r} has a value out of range", allowed=spec.datatype) from None


def from_binary(spec: Input, shape: list[int], data: memoryview) -> np.ndarray[Any, Any]:
    """An array over `data` itself, where its alignment allows.

    Raises:
        InvalidInput: a number of bytes that is not the shape's, a BOOL that is neither 0 nor 1, bad BYTES
        lengths.
    """
    count = spec.count(shape)
    if spec.datatype == "BYTES":
        return _split_bytes(spec, count, data).reshape(shape)
    dtype = np.dtype(spec.dtype).newbyteorder("<")
    if len(data) != count * dtype.itemsize:
        raise InvalidInput(
            f"input {spec.name!r} has {len(data)} bytes", allowed=f"{count * dtype.itemsize} for its shape"
        )
    if spec.datatype == "BOOL" and count and max(data) > 1:
        raise InvalidInput(f"input {spec.name!r} has a BOOL that is neither 0 nor 1")
    array = np.frombuffer(data, dtype).reshape(shape)
    return array if array.flags.aligned else array.copy()


def to_json(datatype: str, array: np.ndarray[Any, Any]) -> list[Any]:
    """Flat, row-major JSON values. NaN and infinities become null, as JSON has no such numbers."""
    if datatype == "BYTES":
        return [_text(value) for value in array.ravel().tolist()]
    values: list[Any] = array.ravel().tolist()
    return values


def to_binary(datatype: str, array: np.ndarray[Any, Any]) -> bytes:
    """Row-major little-endian elements; BYTES with their lengths."""
    if datatype != "BYTES":
        dtype = np.dtype(DATATYPES[datatype]).newbyteorder("<")
        return np.ascontiguousarray(array, dtype).tobytes()
    parts = [value if isinstance(value, bytes) else str(value).encode() for value in array.ravel().tolist()]
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def _flatten(spec: Input, shape: list[int], data: list[Any]) -> list[Any]:
    level = data
    for axis, size in enumerate(shape[:-1]):
        if len(level) != _product(shape[: axis + 1]) or any(type(x) is not list for x in level):
            raise InvalidInput(f"input {spec.name!r} is not nested as its shape says", allowed=shape)
        size = shape[axis + 1]
        if any(len(x) != size for x in level):
            raise InvalidInput(f"input {spec.name!r} is not nested as its shape says", allowed=shape)
        level = list(chain.from_iterable(level))
    return level


def _product(shape: list[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _check_count(spec: Input, came: int, wanted: int) -> None:
    if came != wanted:
        raise InvalidInput(f"input {spec.name!r} has {came} elements", allowed=f"{wanted} for its shape")


def _check_kinds(spec: Input, data: list[Any]) -> None:
    kinds = _KINDS.get(spec.datatype, _INTEGERS)
    wrong = set(map(type, data)) - kinds
    if wrong:
        raise InvalidInput(
            f"input {spec.name!r} has a value of a wrong kind",
            came=", ".join(sorted(_json_kind(t) for t in wrong)),
            allowed=spec.datatype,
        )


def _json_kind(kind: type) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(kind, "null")


def _convert(spec: Input, data: list[Any]) -> np.ndarray[Any, Any]:
    if spec.datatype == "UINT8":
        # Four times faster than np.array, and as strict: it raises on what is not 0 to 255.
        return np.frombuffer(bytearray(data), np.uint8)
    if spec.datatype == "BYTES":
        return _objects([value.encode() for value in data])
    if not spec.datatype.startswith("FP"):
        return np.array(data, spec.dtype)
    with np.errstate(over="ignore"):
        array = np.array(data, spec.dtype)
    if not np.isfinite(array).all():
        raise OverflowError
    return array


def _split_bytes(spec: Input, count: int, data: memoryview) -> np.ndarray[Any, Any]:
    values, at = [], 0
    while at < len(data):
        if at + 4 > len(data):
            raise InvalidInput(f"input {spec.name!r}: a BYTES length is cut off")
        (size,) = _LENGTH.unpack_from(data, at)
        at += 4
        if size > len(data) - at:
            raise InvalidInput(
                f"input {spec.name!r}: a BYTES element of {size} bytes", allowed=f"{len(data) - at} are left"
            )
        values.append(bytes(data[at : at + size]))
        at += size
        if len(values) > count:
            break
    _check_count(spec, len(values), count)
    return _objects(values)


def _objects(values: list[bytes]) -> np.ndarray[Any, Any]:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
