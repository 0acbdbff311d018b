"""Protocol Buffers' wire format, read field by field without a schema (protobuf.dev, Encoding)."""

from collections.abc import Iterator
from typing import Final

from modelyard.errors import Corrupt, TooLarge

_MOST_FIELDS: Final = 20_000_000
_DEEPEST: Final = 100

Value = int | memoryview


class Reader:
    """Counts what it reads over all messages of one file. Raises Corrupt for what is no wire format, TooLarge for
    more fields than a model has."""

    def __init__(self, name: str) -> None:
        self._name, self._left = name, _MOST_FIELDS

    def bad(self, problem: str, came: object = None) -> Corrupt:
        return Corrupt.because(self._name, problem, came=came)

    def deeper(self, depth: int) -> int:
        """The depth inside. Raises Corrupt for endless nesting."""
        if depth >= _DEEPEST:
            raise self.bad("is nested too deeply")
        return depth + 1

    def fields(self, data: memoryview) -> Iterator[tuple[int, Value]]:
        """Field numbers with integers, or with the bytes of a message, text or fixed number."""
        place, end = 0, len(data)
        while place < end:
            self._left -= 1
            if self._left < 0:
                raise TooLarge(f"{self._name!r} has too many fields", allowed=_MOST_FIELDS)
            key, place = self._varint(data, place)
            number, kind = key >> 3, key & 7
            if number == 0:
                raise self.bad("is no protobuf")
            if kind == 0:
                value, place = self._varint(data, place)
                yield number, value
                continue
            if kind == 2:
                size, place = self._varint(data, place)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
            else:
                raise self.bad("is no protobuf")
            if size > end - place:
                raise self.bad("ends in the middle of a field")
            yield number, data[place : place + size]
            place += size

    def message(self, value: Value) -> memoryview:
        """Raises Corrupt where a number stands in the place of a message."""
        if isinstance(value, int):
            raise self.bad("has a field of another type than its format says")
        return value

    def text(self, value: Value) -> str:
        return bytes(self.message(value)[:10_000]).decode("utf-8", "replace")

    def number(self, value: Value) -> int:
        """A signed 64-bit number."""
        if not isinstance(value, int):
            raise self.bad("has a field of another type than its format says")
        return value - (1 << 64) if value >= 1 << 63 else value

    def _varint(self, data: memoryview, place: int) -> tuple[int, int]:
        result = shift = 0
        try:
            while True:
                byte = data[place]
                place += 1
                result |= (byte & 0x7F) << shift
                if byte < 0x80:
                    return result & 0xFFFFFFFFFFFFFFFF, place
                shift += 7
                if shift >= 70:
                    raise self.bad("is no protobuf")
        except IndexError:
            raise self.bad("ends in the middle of a field") from None
