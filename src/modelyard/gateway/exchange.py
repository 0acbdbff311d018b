"""One request and its answer: ASGI's `receive` and `send` over a connection."""

import asyncio
import http
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from modelyard.gateway.http import Connection

Message = dict[str, Any]
_HIGH_WATER: Final = 1 << 20  # unread bytes of a body at which the caller has to wait
_STATUS: Final = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in http.HTTPStatus}
_NO_BODY: Final = (204, 304)


class Exchange:
    """`declared` is the Content-Length, or None. `complete`: the whole request has arrived."""

    __slots__ = (
        "_chunks",
        "_connection",
        "_expect",
        "_gone",
        "_head",
        "_paused",
        "_size",
        "_waiter",
        "complete",
        "declared",
        "keep_alive",
        "scope",
        "task",
    )

    def __init__(self, connection: "Connection", scope: Message, declared: int | None, expect: bool) -> None:
        self.scope = scope
        self.declared = declared
        self.complete = False
        self.keep_alive = True
        self.task: asyncio.Task[None] | None = None
        self._connection = connection
        self._expect = expect
        self._chunks: list[bytes] = []
        self._size = 0
        self._paused = False
        self._gone = False
        self._waiter: asyncio.Future[None] | None = None
        self._head: Message | None = None

    async def receive(self) -> Message:
        """The next part of the body, or http.disconnect once the caller has gone or was refused."""
        while not (self._chunks or self.complete or self._gone):
            if self._expect:
                self._expect = False
                self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._waiter = self._connection.shared.loop.create_future()
            await self._waiter
        if self._gone:
            return {"type": "http.disconnect"}
        chunks, self._chunks, self._size = self._chunks, [], 0
        if self._paused:
            self._paused = False
            self._connection.transport.resume_reading()
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return {"type": "http.request", "body": body, "more_body": not self.complete}

    async def send(self, message: Message) -> None:
        """Answers are whole: one start, one body."""
        if message["type"] == "http.response.start":
            self._head = message
            return
        head = self._head
        if head is None or message.get("more_body"):
            raise RuntimeError("an answer is one http.response.start and one http.response.body")
        if self._gone:
            return
        self._gone = True
        status, body = head["status"], message.get("body", b"")
        data = encode(
            status,
            head["headers"],
            body,
            self._connection.shared.date,
            keep_alive=self.keep_alive and self.complete,
            head_only=self.scope["method"] == "HEAD",
        )
        self._connection.respond(self, data)

    def feed(self, body: bytes) -> None:
        if self._gone:
            return
        self._chunks.append(body)
        self._size += len(body)
        if self._size > _HIGH_WATER and not self._paused:
            self._paused = True
            self._connection.transport.pause_reading()
        self._wake()

    def end(self) -> None:
        self.complete = True
        self._wake()

    def disconnect(self) -> None:
        self._gone = True
        self._chunks.clear()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def encode(
    status: int,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
    date: bytes,
    *,
    keep_alive: bool,
    head_only: bool = False,
) -> bytes:
    """A whole answer as bytes."""
    parts = [_STATUS[status]]
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    if status not in _NO_BODY:
        parts.append(b"content-length: %d\r\n" % len(body))
    parts += (b"date: ", date, b"\r\n\r\n" if keep_alive else b"\r\nconnection: close\r\n\r\n")
    if not head_only:
        parts.append(body)
    return b"".join(parts)
