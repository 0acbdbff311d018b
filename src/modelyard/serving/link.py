"""The gateway's side of a connection to a replica."""

import asyncio
from collections.abc import Sequence
from typing import Final, cast

import msgspec

from modelyard.errors import DeadlineExceeded
from modelyard.serving import frames
from modelyard.serving.flow import Flow
from modelyard.serving.frames import MORE, Answer, Data, FrameError, Kind, Parser, Part
from modelyard.types.replica import Hello, Statistics

_MAX_UNREAD: Final = 64 << 20  # bytes that wait for a replica to read them
_STALL: Final = 1.0  # seconds without a byte, while something is asked, after which others are preferred


class ReplicaLost(Exception):
    """The connection ended before the answer came."""


class Link(asyncio.Protocol):
    """Asks one replica. Requests of one turn of the event loop leave in one write; answers come in any
    order."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.hello: asyncio.Future[Hello] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()
        self.draining = False
        self.suspect = False
        self._clogged = False
        self.statistics = Statistics()
        self._loop = loop
        self._parser = Parser(2 * frames.MAX_FRAME)
        self._transport: asyncio.Transport | None = None
        self._asked: dict[int, tuple[asyncio.Future[Answer], float]] = {}
        self._flows: dict[int, Flow] = {}
        self._counting: list[asyncio.Future[None]] = []
        self._forgotten: set[int] = set()
        self._out: list[Data] = []
        self._number = 0
        self._heard = loop.time()

    @property
    def outstanding(self) -> int:
        """Requests that the replica has and has not answered, whether or not someone still waits for them."""
        return len(self._asked) + len(self._flows) + len(self._forgotten)

    @property
    def usable(self) -> bool:
        return not (self._clogged or self.draining or self._transport is None) and self.hello.done()

    @property
    def slots(self) -> int:
        """Sequences that the replica generates at a time; 0 where it runs batches."""
        return self.hello.result().slots if self.hello.done() else 0

    def ask(
        self, head: tuple[int, int, bytes], body: Sequence[bytes], size: int, left: float
    ) -> asyncio.Future[Answer]:
        """Send a request; `head` is dialect, operation, headers, and `left` the seconds that are left.

        The future ends with the Answer, DeadlineExceeded or ReplicaLost.
        """
        future: asyncio.Future[Answer] = self._loop.create_future()
        if self._transport is None:  # nothing will ever end it
            future.set_exception(ReplicaLost())
            return future
        self._number = number = (self._number + 1) & 0xFFFFFFFF
        now = self._loop.time()
        if not self._asked:
            self._heard = now
        self._asked[number] = (future, now + left)
        dialect, operation, headers = head
        milliseconds = min(int(left * 1000), 0xFFFFFFFF)
        start = frames.request_head(number, dialect, operation, milliseconds, headers, size)
        self._send(start, *body)
        return future

    def open(self, head: tuple[int, int, bytes], body: Sequence[bytes], size: int, left: float) -> Flow:
        """Send a request whose answer comes in pieces; as `ask` otherwise."""
        self._number = number = (self._number + 1) & 0xFFFFFFFF
        now = self._loop.time()
        flow = Flow(self._loop, lambda: self._cancel(number), now + left)
        if self._transport is None:
            flow.fail(ReplicaLost())
            return flow
        if not self._asked and not self._flows:
            self._heard = now
        self._flows[number] = flow
        dialect, operation, headers = head
        milliseconds = min(int(left * 1000), 0xFFFFFFFF)
        self._send(frames.request_head(number, dialect, operation, milliseconds, headers, size), *body)
        return flow

    def count(self) -> asyncio.Future[None]:
        """Ask for `statistics`; the future ends when they are there, or with the connection."""
        future: asyncio.Future[None] = self._loop.create_future()
        if self._transport is None:
            future.set_result(None)
            return future
        self._counting.append(future)
        self._send(frames.pack(Kind.STATISTICS, 0))
        return future

    def sweep(self, now: float) -> None:
        """Give up requests whose deadline has passed. Called some times a second, so that none needs a
        timer."""
        for number, (future, deadline) in list(self._asked.items()):
            if deadline <= now:
                del self._asked[number]
                self._forgotten.add(number)
                self.suspect = True
                if not future.done():
                    future.set_exception(DeadlineExceeded("the model did not answer before the deadline"))
        for number, flow in list(self._flows.items()):
            if flow.deadline <= now:
                self._cancel(number)
                flow.fail(DeadlineExceeded("the answer was not whole before the deadline"))
        if self._asked and now - self._heard > _STALL:
            self.suspect = True
        if self._transport is not None:  # a replica that does not read must not fill our memory
            self._clogged = self._transport.get_write_buffer_size() > _MAX_UNREAD

    def close(self) -> None:
        """End the connection and what is still asked, even of a replica that has stopped reading."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        self.suspect = False
        try:
            for frame in self._parser.feed(data):
                if frame.kind == Kind.ANSWER:
                    self._answered(frame.id, frames.read_answer(frame.payload))
                elif frame.kind == Kind.PART:
                    self._piece(frame.id, frames.read_part(frame.payload))
                else:
                    self._told(frame.kind, frame.payload)
        except (FrameError, msgspec.DecodeError):
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        asked, self._asked = self._asked, {}
        for future, _ in asked.values():
            if not future.done():
                future.set_exception(ReplicaLost())
        flows, self._flows = self._flows, {}
        for flow in flows.values():
            flow.fail(ReplicaLost())
        for counting in self._counting:
            if not counting.done():
                counting.set_result(None)
        if not self.hello.done():
            self.hello.cancel()
        if not self.lost.done():
            self.lost.set_result(None)

    def _piece(self, number: int, part: Part) -> None:
        last = not part.flags & MORE
        if (flow := self._flows.get(number)) is not None:
            if last:
                del self._flows[number]
            flow.take(part, last=last)

    def _cancel(self, number: int) -> None:
        if self._flows.pop(number, None) is not None:
            self._send(frames.pack(Kind.CANCEL, number))

    def _answered(self, number: int, answer: Answer) -> None:
        if (flow := self._flows.get(number)) is not None:
            last = not answer.flags & MORE
            if last:
                del self._flows[number]
            flow.take_answer(answer, last=last)
            return
        asked = self._asked.pop(number, None)
        if asked is None:
            self._forgotten.discard(number)
        elif not asked[0].done():
            asked[0].set_result(answer)

    def _told(self, kind: int, payload: bytes) -> None:
        if kind == Kind.HELLO and not self.hello.done():
            self.hello.set_result(msgspec.json.decode(payload, type=Hello))
        elif kind == Kind.STATISTICS and self._counting:
            self.statistics = msgspec.json.decode(payload, type=Statistics)
            counting = self._counting.pop(0)
            if not counting.done():
                counting.set_result(None)
        elif kind == Kind.DRAIN:
            self.draining = True
        else:
            raise FrameError(f"a frame of kind {kind}")

    def _send(self, *parts: Data) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out += parts

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.writelines(self._out)
        self._out.clear()
