"""What an OpenVINO generator and its worker process say to each other: MessagePack, with its length before it."""

import os
from collections.abc import Iterator
from struct import Struct as Layout
from typing import Any, Final

import msgspec
from msgspec import Struct

_LENGTH: Final = Layout("<I")
_PART: Final = 1 << 20


class Open(Struct, frozen=True, kw_only=True, tag=True):
    """The first: the model's folder, sequences at a time, blocks of the key and value cache, compute threads (0:
    OpenVINO's own choice), and the precision of arithmetic."""

    folder: str
    slots: int
    blocks: int
    threads: int
    precision: str


class Start(Struct, frozen=True, kw_only=True, tag=True):
    """A sequence. `config` are names of openvino_genai.GenerationConfig; `constraint` one of
    StructuredOutputConfig's names and its text."""

    id: int
    prompt: list[int]
    config: dict[str, bool | int | float]
    constraint: tuple[str, str] | None = None


class Cancel(Struct, frozen=True, kw_only=True, tag=True):
    id: int


class Ready(Struct, frozen=True, kw_only=True, tag=True):
    """The model is open."""


class Refused(Struct, frozen=True, kw_only=True, tag=True):
    """A sequence that could not be begun, or (without an id) a model that cannot be opened. `reason` is the
    library's and not for callers."""

    id: int | None
    reason: str


class Failed(Struct, frozen=True, kw_only=True, tag=True):
    """The engine broke; what it worked on is lost."""

    reason: str


class Piece(Struct, frozen=True, array_like=True):
    """What one step gave a sequence. `cached` tokens of its prompt were not computed anew (-1: said before);
    `finish` is "" before the end, "lost" where the engine gave it up."""

    id: int
    tokens: list[int]
    logprobs: list[float]
    cached: int
    finish: str


class Step(Struct, frozen=True, kw_only=True, tag=True):
    pieces: list[Piece]


Asked = Open | Start | Cancel
Said = Ready | Refused | Failed | Step


def pack(message: Struct) -> bytes:
    body = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(body)) + body


class Unpacker:
    """Whole messages out of a stream's parts."""

    def __init__(self, kind: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(kind)
        self._got = bytearray()

    def feed(self, part: bytes) -> Iterator[Any]:
        """Raises msgspec.MsgspecError."""
        self._got += part
        while len(self._got) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._got)[0]
            if len(self._got) < end:
                return
            body = bytes(self._got[_LENGTH.size : end])
            del self._got[:end]
            yield self._decoder.decode(body)


def read_some(descriptor: int) -> bytes:
    """What is there, at least a byte; empty at the end."""
    return os.read(descriptor, _PART)


def write_whole(descriptor: int, data: bytes) -> None:
    """Raises BrokenPipeError."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
