"""The frames between gateway and replica: little-endian, length-prefixed, over a stream socket.

    offset  type  field
    0       u32   bytes after this field, at most MAX_FRAME
    4       u8    kind (Kind)
    5       u32   id, the asker's own; an answer carries its question's
    9       ...   by kind:

    HELLO       JSON of types.replica.Hello
    REQUEST     u8 dialect, u8 operation, u32 milliseconds left, u16 length of headers, headers, body
    ANSWER      u16 status, u8 flags (MORE: parts follow), u16 length of headers, headers, body; no headers
                means JSON
    PART        u8 flags (MORE), u32 tokens of the prompt, u32 of them that were cached, u32 generated (all of
                them so far), body: a piece of an answer, or before an ANSWER only the count
    CANCEL      of a request's id, empty: its asker does not wait any longer
    STATISTICS  question: empty; answer: JSON of types.replica.Statistics
    DRAIN       empty: the sender takes no more requests on this connection

Headers are lines "name:value\\n" in lower case, as HTTP's own cannot hold a line feed.
"""

from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

MAX_FRAME: Final = (64 << 20) + (64 << 10)  # the gateway's limit of a body, and room for what goes with it

Data = bytes | bytearray | memoryview

_COMMON: Final = Struct("<IBI")
_REQUEST: Final = Struct("<IBIBBIH")
_ANSWER: Final = Struct("<IBIHBH")
_REQUEST_REST: Final = Struct("<BBIH")
_ANSWER_REST: Final = Struct("<HBH")
_PART: Final = Struct("<IBIBIII")
_PART_REST: Final = Struct("<BIII")
MORE: Final = 1
_PREFIX: Final = 4
_OVERHEAD: Final = _COMMON.size - _PREFIX


class Kind(IntEnum):
    HELLO = 1
    REQUEST = 2
    ANSWER = 3
    STATISTICS = 4
    DRAIN = 5
    PART = 6
    CANCEL = 7


class FrameError(Exception):
    """The stream is not one of frames; the connection cannot be used any more."""


class Frame(NamedTuple):
    """One frame, its payload not yet looked into."""

    kind: int
    id: int
    payload: bytes


class Request(NamedTuple):
    """The payload of a REQUEST. `left` is in milliseconds."""

    dialect: int
    operation: int
    left: int
    headers: bytes
    body: memoryview


class Answer(NamedTuple):
    """The payload of an ANSWER."""

    status: int
    flags: int
    headers: bytes
    body: bytes


class Part(NamedTuple):
    """The payload of a PART. Tokens are counted from the request's beginning."""

    flags: int
    prompt: int
    cached: int
    completion: int
    body: bytes


class Parser:
    """Cuts frames out of a stream whose chunks may end anywhere.

    Each byte is copied at most twice, however small the chunks are: nothing is scanned until the frame that
    is being waited for is whole.
    """

    __slots__ = ("_buffer", "_limit", "_wanted")

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._limit = limit
        self._wanted = 0

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not whole yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are whole now.

        Raises:
            FrameError: a length beyond the limit or too short to be one.
        """
        if not self._buffer:
            frames, used = self._cut(data)
            if used < len(data):
                self._buffer += memoryview(data)[used:]
            return frames
        self._buffer += data
        if len(self._buffer) < self._wanted:
            return []
        frames, used = self._cut(self._buffer)
        del self._buffer[:used]
        return frames

    def _cut(self, data: bytes | bytearray) -> tuple[list[Frame], int]:
        frames: list[Frame] = []
        at, end = 0, len(data)
        with memoryview(data) as view:
            while end - at >= _COMMON.size:
                length, kind, number = _COMMON.unpack_from(data, at)
                if not _OVERHEAD <= length <= self._limit:
                    raise FrameError(f"a frame of {length} bytes; allowed: {_OVERHEAD} to {self._limit}")
                stop = at + _PREFIX + length
                if stop > end:
                    self._wanted = stop - at
                    return frames, at
                frames.append(Frame(kind, number, bytes(view[at + _COMMON.size : stop])))
                at = stop
        self._wanted = _COMMON.size
        return frames, at


def pack(kind: Kind, number: int, payload: bytes = b"") -> bytes:
    """A frame of any kind around a ready payload."""
    return _COMMON.pack(_OVERHEAD + len(payload), kind, number) + payload


def request_head(number: int, dialect: int, operation: int, left: int, headers: bytes, size: int) -> bytes:
    """What goes before a body of `size` bytes. `left` is in milliseconds."""
    length = _REQUEST.size - _PREFIX + len(headers) + size
    return _REQUEST.pack(length, Kind.REQUEST, number, dialect, operation, left, len(headers)) + headers


def answer_head(number: int, status: int, flags: int, headers: bytes, size: int) -> bytes:
    """What goes before an answer's body of `size` bytes."""
    length = _ANSWER.size - _PREFIX + len(headers) + size
    return _ANSWER.pack(length, Kind.ANSWER, number, status, flags, len(headers)) + headers


def part_head(number: int, flags: int, tokens: tuple[int, int, int], size: int) -> bytes:
    """What goes before a piece of `size` bytes. `tokens` are the prompt's, those cached, those generated."""
    return _PART.pack(_PART.size - _PREFIX + size, Kind.PART, number, flags, *tokens)


def read_part(payload: bytes) -> Part:
    """Raises FrameError where the payload is no part."""
    if len(payload) < _PART_REST.size:
        raise FrameError("a part frame is too short")
    flags, prompt, cached, completion = _PART_REST.unpack_from(payload)
    return Part(flags, prompt, cached, completion, payload[_PART_REST.size :])


def read_request(payload: bytes) -> Request:
    """Raises FrameError where the payload is no request."""
    if len(payload) < _REQUEST_REST.size:
        raise FrameError("a request frame is too short")
    dialect, operation, left, size = _REQUEST_REST.unpack_from(payload)
    at = _REQUEST_REST.size
    if at + size > len(payload):
        raise FrameError("a request frame's headers are longer than the frame")
    return Request(dialect, operation, left, payload[at : at + size], memoryview(payload)[at + size :])


def read_answer(payload: bytes) -> Answer:
    """Raises FrameError where the payload is no answer."""
    if len(payload) < _ANSWER_REST.size:
        raise FrameError("an answer frame is too short")
    status, flags, size = _ANSWER_REST.unpack_from(payload)
    at = _ANSWER_REST.size
    if at + size > len(payload):
        raise FrameError("an answer frame's headers are longer than the frame")
    return Answer(status, flags, payload[at : at + size], payload[at + size :])


def pack_headers(headers: dict[str, str]) -> bytes:
    """Lines of a frame. Raises FrameError where a name or value would not come out again as it went in."""
    lines = []
    for name, value in headers.items():
        if "\n" in name or ":" in name or "\n" in value:
            raise FrameError(f"header {name!r} cannot be framed")
        lines.append(f"{name}:{value}\n")
    data = "".join(lines).encode("latin-1")
    if len(data) > 0xFFFF:
        raise FrameError("headers are longer than 65,535 bytes")
    return data


def read_headers(data: bytes) -> dict[str, str]:
    """The inverse of `pack_headers`."""
    if not data:
        return {}
    lines = data.decode("latin-1").split("\n")
    return {name: value for name, _, value in (line.partition(":") for line in lines if line)}
