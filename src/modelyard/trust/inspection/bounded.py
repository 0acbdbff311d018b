"""Reading a stranger's bytes: never past the end, never more than was asked for, JSON without tricks."""

import json
import mmap
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelyard.errors import Corrupt, NotAllowedFormat, TooLarge
from modelyard.trust.inspection.contract import JSON_BYTES

Buffer = memoryview | bytes


@contextmanager
def mapped(path: Path, name: str) -> Iterator[memoryview]:
    """The file's bytes, read from disk only where they are looked at. Raises NotAllowedFormat for no plain file."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise NotAllowedFormat(f"{name!r} is no plain file")
        if status.st_size == 0:
            raise Corrupt.because(name, "is empty")
        # Unmapped with the last part of it that someone holds: a traceback may hold one.
        yield memoryview(mmap.mmap(fd, 0, prot=mmap.PROT_READ))
    finally:
        os.close(fd)


def head_of(path: Path, size: int) -> bytes:
    """The first bytes of a file."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        return file.read(size)


class Cursor:
    """Little-endian values, one after the other. Raises Corrupt past the end."""

    def __init__(self, data: Buffer, name: str, place: int = 0) -> None:
        self._data, self._name, self.place = data, name, place

    def take(self, size: int) -> Buffer:
        if size < 0 or size > len(self._data) - self.place:
            raise Corrupt.because(self._name, "ends in the middle of its header")
        part = self._data[self.place : self.place + size]
        self.place += size
        return part

    def number(self, form: str) -> Any:
        """One value of a `struct` format, as "<Q"."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]


def read_json(data: Buffer, name: str, *, limit: int = JSON_BYTES) -> Any:
    """JSON without duplicate keys and NaN. Raises TooLarge, and Corrupt, also for nesting that is past Python's
    recursion limit."""
    if len(data) > limit:
        raise TooLarge(f"the JSON in {name!r}", came=f"{len(data):,} bytes", allowed=f"{limit:,} bytes")
    try:
        return json.loads(
            bytes(data), object_pairs_hook=lambda pairs: _once(pairs, name), parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise Corrupt.because(name, f"holds no good JSON ({type(error).__name__})") from None


def read_object(data: Buffer, name: str, *, limit: int = JSON_BYTES) -> dict[str, Any]:
    """The same, where a JSON object is due."""
    value = read_json(data, name, limit=limit)
    if not isinstance(value, dict):
        raise Corrupt.because(name, "holds no JSON object", came=type(value).__name__)
    return value


def walk(value: Any) -> Iterator[Any]:
    """Every value inside a JSON value, itself among them, in any order; without recursion."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        yield one
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _once(pairs: list[tuple[str, Any]], name: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Corrupt.because(name, "names a key twice")
    return found


def _no_constant(text: str) -> None:
    raise ValueError(text)
