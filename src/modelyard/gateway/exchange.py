"""One request and its answer: ASGI's `receive` and `send` over a connection."""

import asyncio
import http
from typing import TYPE_CHECKING, Any, Final

from modelyard.gateway.bodies import CallerGone

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
        "_delivered",
        "_eof",
        "_expect",
        "_gone",
        "_head",
        "_paused",
        "_size",
        "_streaming",
        "_waiter",
        "_writable",
        "complete",
        "declared",
        "keep_alive",
        "passed",
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
        self._delivered = self._eof = False
        self._waiter: asyncio.Future[None] | None = None
        self._head: Message | None = None
        self.passed = False  # its body may be as large as what is passed on may be
        self._streaming: str | None = None
        self._writable: asyncio.Future[None] | None = None

    async def receive(self) -> Message:
        """The next part of the body, or http.disconnect once the caller has gone or was refused."""
        if self._delivered and not self._gone:
            await self._until_gone()
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
            self._connection.resume_body(self)
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._delivered = self.complete
        return {"type": "http.request", "body": body, "more_body": not self.complete}

    async def _until_gone(self) -> None:
        """A caller that has ended its side does not wait for an answer that takes long."""
        while not (self._gone or self._eof):
            self._waiter = self._connection.shared.loop.create_future()
            await self._waiter
        self._gone = True

    async def send(self, message: Message) -> None:
        """Most answers are whole: one start, one body. One with more bodies is written as it comes, with the
        Content-Length that its headers say, else in chunks (RFC 9112, 7.1)."""
        if message["type"] == "http.response.start":
            self._head = message
            return
        head = self._head
        if head is None:
            raise RuntimeError("an answer begins with http.response.start")
        if message.get("more_body") or self._streaming is not None:
            return await self._stream(head, message)
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

    async def _stream(self, head: Message, message: Message) -> None:
        """Raises CallerGone where nobody reads it any more."""
        if self._gone:
            raise CallerGone
        if message["type"] == "http.response.abort":  # what the caller has must not look whole
            self._gone = True
            self._connection.transport.abort()
            return
        if self._streaming is None:
            self._connection.transport.write(self._begin_stream(head))
        more = message.get("more_body", False)
        data = self._framed(message.get("body", b""), last=not more)
        if not more:
            self._gone = True
            return self._connection.respond(self, data)
        self._connection.transport.write(data)
        if self._connection.writing_paused:
            self._writable = self._connection.shared.loop.create_future()
            await self._writable
        if self._gone:
            raise CallerGone

    def _begin_stream(self, head: Message) -> bytes:
        if any(name == b"content-length" for name, _ in head["headers"]):
            self._streaming = "length"
        else:
            self._streaming = "close" if self.scope["http_version"] == "1.0" else "chunked"
        self.keep_alive = self.keep_alive and self.complete and self._streaming != "close"
        extra = [(b"transfer-encoding", b"chunked")] if self._streaming == "chunked" else []
        headers, date = [*head["headers"], *extra], self._connection.shared.date
        return encode_head(head["status"], headers, date, keep_alive=self.keep_alive)

    def _framed(self, body: bytes, *, last: bool) -> bytes:
        if self.scope["method"] == "HEAD":
            return b""
        if self._streaming != "chunked":
            return body
        framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return framed + b"0\r\n\r\n" if last else framed

    def resume_writing(self) -> None:
        """The caller has read enough of what was written."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def feed(self, body: bytes) -> None:
        if self._gone:
            return
        self._chunks.append(body)
        self._size += len(body)
        if self._size > _HIGH_WATER and not self._paused:
            self._paused = True
            self._connection.pause_body(self)
        self._wake()

    def end(self) -> None:
        self.complete = True
        self._wake()

    def eof(self) -> None:
        """The caller has closed its side of the connection, or all of it: that cannot be told apart yet."""
        self._eof = True
        self._wake()

    def disconnect(self) -> None:
        self._gone = True
        self._chunks.clear()
        self._wake()
        self.resume_writing()

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


def encode_head(status: int, headers: list[tuple[bytes, bytes]], date: bytes, *, keep_alive: bool) -> bytes:
    """The head of an answer whose headers say how its body ends."""
    parts = [_STATUS[status]]
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    parts += (b"date: ", date, b"\r\n\r\n" if keep_alive else b"\r\nconnection: close\r\n\r\n")
    return b"".join(parts)
