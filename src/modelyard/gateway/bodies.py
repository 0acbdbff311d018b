"""Reading a request's body in bounded memory: the shared budget, and content encodings (RFC 9110, 8.4)."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from modelyard.errors import DeadlineExceeded, InvalidInput, TooLarge, Unavailable, UnsupportedMedia
from modelyard.gateway.limits import Limits

Receive = Callable[[], Awaitable[dict[str, Any]]]
# zlib's window bits: 16 + 15 is gzip, 15 is zlib, which HTTP calls deflate.
_WINDOW: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
_STEP: Final = 1 << 20


class CallerGone(Exception):
    """Nobody is there to answer any more."""


class Body:
    """Chunks as they came. `size` is their sum; it counts against the budget until `release`."""

    __slots__ = ("_budget", "chunks", "size")

    def __init__(self, budget: "Budget") -> None:
        self.chunks: list[bytes] = []
        self.size = 0
        self._budget = budget

    def add(self, chunk: bytes) -> None:
        """Raises Unavailable when all bodies together are too much, TooLarge when this one is."""
        budget = self._budget
        self.size += len(chunk)
        budget.held += len(chunk)
        if self.size > budget.limits.body:
            raise TooLarge("the body is too large", allowed=f"{budget.limits.body} bytes")
        if budget.held > budget.limits.buffered:
            raise Unavailable("too many large requests at once")
        self.chunks.append(chunk)

    def release(self) -> None:
        self._budget.held -= self.size
        self.chunks, self.size = [], 0


class Budget:
    """`held`: bytes of all bodies in memory."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.held = 0


async def read(receive: Receive, body: Body, encoding: bytes | None) -> None:
    """Fill `body` with what the caller sends, decompressed.

    Raises:
        UnsupportedMedia: an encoding that is not known.
        TooLarge, Unavailable: as `Body.add`; a bomb is noticed at the limit and never unpacked whole.
        InvalidInput: the encoding is damaged.
        CallerGone: the caller closed the connection.
    """
    message = await receive()
    if encoding is None and not message.get("more_body", True):
        body.add(message["body"])
        return
    unpack = _unpacker(encoding)
    while message["type"] == "http.request":
        await unpack(message["body"], body, not message["more_body"])
        if not message["more_body"]:
            return
        message = await receive()
    raise CallerGone


def _unpacker(encoding: bytes | None) -> Callable[[bytes, Body, bool], Awaitable[None]]:
    name = (encoding or b"identity").strip().lower()
    if name == b"identity":
        return _as_it_is
    if name not in _WINDOW:
        raise UnsupportedMedia(
            "content encoding", came=name.decode("latin-1"), allowed=["identity", "gzip", "deflate"]
        )
    return _Inflate(_WINDOW[name])


async def _as_it_is(chunk: bytes, body: Body, last: bool) -> None:
    if chunk:
        body.add(chunk)


class _Inflate:
    """Unpacks step by step; between steps others have their turn."""

    def __init__(self, window: int) -> None:
        self._stream = zlib.decompressobj(window)

    async def __call__(self, chunk: bytes, body: Body, last: bool) -> None:
        try:
            while chunk:
                part = self._stream.decompress(chunk, _STEP)
                chunk = self._stream.unconsumed_tail
                if part:
                    body.add(part)
                    await asyncio.sleep(0)
        except zlib.error:
            raise InvalidInput("the body is not what its Content-Encoding says") from None
        if self._stream.unused_data or (last and not self._stream.eof):
            raise InvalidInput("the body is not what its Content-Encoding says")


def seconds_left(timeout: float, asked: bytes | None) -> float:
    """The smaller of the route's timeout and the caller's Modelyard-Timeout, in seconds. Raises
    InvalidInput."""
    if asked is None:
        return timeout
    try:
        wanted = float(asked)
    except ValueError:
        wanted = -1.0
    if not 0 <= wanted <= 1e6:
        raise InvalidInput(
            "Modelyard-Timeout", came=asked.decode("latin-1"), allowed="seconds, from 0 to 1e6"
        )
    if wanted == 0:
        raise DeadlineExceeded("the deadline passed before the request could start")
    return min(timeout, wanted)
