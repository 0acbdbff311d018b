"""An answer that comes in pieces, on the gateway's side of a connection to a replica."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from modelyard.serving.frames import Answer, Part
from modelyard.types.generation import Usage

MOST_UNREAD: Final = 4 << 20
"""Bytes of pieces that a caller may leave unread: text is small, so that this is minutes of it."""


class TooSlow(Exception):
    """The caller does not read what it asked for."""


class Flow:
    """`answer` ends with the head of the answer, or all of it; `parts` follow where its flags say so.

    `usage` is what the request has used so far; `counted` is told of every change of it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, cancel: Callable[[], None], deadline: float) -> None:
        self.answer: asyncio.Future[Answer] = loop.create_future()
        self.deadline = deadline
        self.usage = Usage()
        self.counted: Callable[[Usage], None] = _nobody
        self.ended = False
        self._loop = loop
        self._cancel = cancel
        self._parts: deque[bytes] = deque()
        self._unread = 0
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def next(self) -> bytes | None:
        """The pieces that are there, at least one; None at the end. Raises what `fail` was given."""
        while not self._parts:
            if self._failure is not None:
                raise self._failure
            if self.ended:
                return None
            self._waiter = self._loop.create_future()
            await self._waiter
        pieces = self._parts.popleft() if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._unread = 0
        return pieces

    def cancel(self) -> None:
        """Nobody waits for it any longer: the replica is told, and its slot comes free."""
        if not self.ended:
            self.ended = True
            self._cancel()
            if not self.answer.done():
                self.answer.cancel()

    def take_answer(self, answer: Answer, *, last: bool) -> None:
        self.ended = last
        if not self.answer.done():
            self.answer.set_result(answer)

    def take(self, part: Part, *, last: bool) -> None:
        self.ended = last
        usage = Usage(prompt=part.prompt, cached=part.cached, completion=part.completion)
        if usage != self.usage:
            self.usage = usage
            self.counted(usage)
        if part.body:
            self._parts.append(part.body)
            self._unread += len(part.body)
        if self._unread > MOST_UNREAD and not last:
            self.cancel()
            self._failure = TooSlow()
        self._wake()

    def fail(self, failure: Exception) -> None:
        """It can go on no further."""
        self.ended = True
        if not self.answer.done():
            self.answer.set_exception(failure)
        else:
            self._failure = failure
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _nobody(usage: Usage) -> None:
    """Who counts is set later."""
