"""safetensors: a length, a JSON header, and tensors one after the other (huggingface/safetensors, format)."""

from pathlib import Path
from typing import Any, Final

from modelyard.errors import Corrupt
from modelyard.trust.inspection.bounded import Cursor, mapped, read_object
from modelyard.trust.inspection.contract import Inspection

HEADER_BYTES: Final = 100_000_000  # the format's own limit
_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64,
    "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


def inspect(path: Path, name: str) -> Inspection:
    """Raises Corrupt for a header that is too long, names a tensor twice, or whose tensors overlap, leave holes or
    pass the end."""
    with mapped(path, name) as data:
        cursor = Cursor(data, name)
        length = cursor.number("<Q")
        if length > HEADER_BYTES or length > len(data) - 8:
            raise Corrupt.because(name, "has a header that is too long", came=f"{length:,} bytes")
        header = read_object(cursor.take(length), name, limit=HEADER_BYTES)
        space = len(data) - 8 - length
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise Corrupt.because(name, "has metadata that is no text")
    tensors = [_tensor(key, value, name) for key, value in header.items()]
    _check_places(sorted(tensors), space, name)
    facts = {
        "tensors": len(tensors),
        "parameters": sum(count for _, _, count in tensors),
        "dtypes": sorted({value["dtype"] for value in header.values()}),
        "metadata": {str(k)[:100]: v[:200] for k, v in list(metadata.items())[:20]},
    }
    return Inspection(format="safetensors", facts=facts, why="a safetensors header stands at its beginning")


def is_safetensors(head: bytes, size: int) -> bool:
    """Whether a file begins as one: the length of a header that fits, then JSON."""
    return len(head) > 9 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= size - 8


def _tensor(key: str, value: Any, name: str) -> tuple[int, int, int]:
    """Its first byte, the byte after its last, and how many elements it has."""
    whole = isinstance(value, dict) and set(value) == {"dtype", "shape", "data_offsets"}
    if (
        not whole
        or value["dtype"] not in _BITS
        or not _numbers(value["shape"])
        or not _numbers(value["data_offsets"])
    ):
        raise Corrupt.because(name, "has a tensor that is described wrongly", came=key[:100])
    if len(value["data_offsets"]) != 2 or len(value["shape"]) > 64:
        raise Corrupt.because(name, "has a tensor that is described wrongly", came=key[:100])
    count = 1
    for size in value["shape"]:
        count *= size
        if count > 1 << 60:
            raise Corrupt.because(name, "has a tensor that is too large", came=key[:100])
    start, end = value["data_offsets"]
    if (end - start) * 8 != count * _BITS[value["dtype"]]:
        raise Corrupt.because(name, "has a tensor whose shape is not its size", came=key[:100])
    return start, end, count


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 62 for n in value)


def _check_places(tensors: list[tuple[int, int, int]], space: int, name: str) -> None:
    place = 0
    for start, end, _ in tensors:
        if start != place or end < start:
            raise Corrupt.because(
                name, "has tensors that overlap or leave a hole", came=f"at byte {min(start, place)}"
            )
        place = end
    if place != space:
        raise Corrupt.because(
            name, "has tensors that do not fill it", came=f"{place:,} bytes", allowed=f"{space:,}"
        )
