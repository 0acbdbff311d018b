"""Answers that need not be computed again: those kept for a while, and those that are under way for somebody else.

Only requests that would have the same answer again come here, and a tenant meets its own alone.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

RawHeaders = list[tuple[bytes, bytes]]
_MOST_BYTES: Final = 64 << 20
_MOST_ONE: Final = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A whole answer. `until` is of the monotonic clock."""

    headers: RawHeaders
    body: bytes
    until: float


def digest_of(parts: Sequence[bytes]) -> bytes:
    """Of the tenant, the versions, the operation and the body: what an answer depends on."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(8, "little"))
        hashed.update(part)
    return hashed.digest()


class Answers:
    """Kept ones, least lately used last out, and shared ones."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self.shared: dict[bytes, Shared] = {}
        self.hits = self.joined = 0

    def find(self, key: bytes) -> Kept | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.until <= time.monotonic():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        self.hits += 1
        return kept

    def keep(self, key: bytes, headers: RawHeaders, body: bytes, seconds: float) -> None:
        if len(body) > min(_MOST_ONE, self._most):
            return
        if key in self._kept:
            self._drop(key)
        self._kept[key] = Kept(headers=headers, body=body, until=time.monotonic() + seconds)
        self._bytes += len(body)
        while self._bytes > self._most:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: bytes) -> None:
        self._bytes -= len(self._kept.pop(key).body)


class Shared:
    """An answer under way: each reader gets all of it, from its beginning."""

    def __init__(self) -> None:
        self.readers = 0
        self.work: asyncio.Task[None] | None = None
        self._pieces: list[bytes] = []
        self._ended = False
        self._failure: BaseException | None = None
        self._head: tuple[int, RawHeaders] | None = None
        self._turn = asyncio.Event()

    def begin(self, status: int, headers: RawHeaders) -> None:
        self._head = status, headers
        self._told()

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._told()

    def end(self, failure: BaseException | None = None) -> None:
        self._ended, self._failure = True, failure
        self._told()

    @property
    def body(self) -> bytes:
        return b"".join(self._pieces)

    async def head(self) -> tuple[int, RawHeaders]:
        """Status and headers. Raises what ended it before there were any."""
        while self._head is None:
            if self._failure is not None:
                raise self._failure
            await self._turn.wait()
        return self._head

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises what ended it halfway."""
        read = 0
        while True:
            if read < len(self._pieces):
                fresh = self._pieces[read:]
                read = len(self._pieces)
                yield b"".join(fresh)
            elif self._ended:
                if self._failure is not None:
                    raise self._failure
                return
            else:
                await self._turn.wait()

    def leave(self) -> None:
        """A reader has gone; the last one ends the work."""
        self.readers -= 1
        if self.readers <= 0 and self.work is not None:
            self.work.cancel()

    def _told(self) -> None:
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()
