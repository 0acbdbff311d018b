"""HTTP/1.1 on httptools, with every limit kept before the application sees a request (RFC 9110, RFC 9112).

An own protocol and not uvicorn's: uvicorn bounds neither headers nor URL nor body, has no deadline for any of
them, answers its own errors without a request id, and takes 1.4 times the CPU of this one a request. The
application behind it is plain ASGI 3 all the same, and runs under uvicorn too.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from math import inf
from typing import Any, Final, Protocol, cast

import httptools

from modelyard.gateway.exchange import Exchange, encode
from modelyard.gateway.limits import Limits
from modelyard.gateway.passing import RAW_PREFIXES

Message = dict[str, Any]
Refusal = tuple[int, list[tuple[bytes, bytes]], bytes]
_PIECE: Final = 16 << 10  # heads are parsed in pieces of this, so that an endless one is noticed
# What a connection waits for; each phase has its own deadline.
_HEAD, _BODY, _WORK, _IDLE, _WRITE, _LINGER = range(6)
_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


class Application(Protocol):
    """ASGI 3, and the words for what never becomes a request."""

    def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> Any: ...

    def refusal(self, path: str, code: str, message: str) -> Refusal:
        """Status, headers and body of an error that the HTTP layer found."""


class _Refused(Exception):
    """Ends parsing; `code` and `message` are the error's."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(message)


class Connections:
    """All open connections, and the one timer that looks at their deadlines."""

    def __init__(self, app: Application, limits: Limits) -> None:
        self.app = app
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self.open: set[Connection] = set()
        self.closing = False
        self.empty = asyncio.Event()
        self.date = b""
        self._timer: asyncio.TimerHandle | None = None
        self._tick()

    def accept(self) -> "Connection":
        return Connection(self)

    def forget(self, connection: "Connection") -> None:
        self.open.discard(connection)
        if self.closing and not self.open:
            self.empty.set()

    async def drain(self, seconds: float) -> None:
        """End what waits for a request, let the others end after their answer, and what is left at the end."""
        self.closing = True
        for connection in list(self.open):
            connection.finish()
        if self.open:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.empty.wait(), seconds)
        self.abort()

    def abort(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self.open):
            connection.abort()

    def _tick(self) -> None:
        self.date = formatdate(usegmt=True).encode()
        now = self.loop.time()
        for connection in [c for c in self.open if c.deadline <= now]:
            connection.expire()
        self._timer = self.loop.call_later(self.limits.tick, self._tick)


class Connection(asyncio.Protocol):
    """One caller. Requests are answered in their order, one at a time."""

    __slots__ = (
        "_active",
        "_body_left",
        "_declared",
        "_eof",
        "_expect",
        "_fields",
        "_head_bytes",
        "_headers",
        "_last",
        "_parser",
        "_parsing",
        "_phase",
        "_queue",
        "_seen",
        "_timed",
        "_url",
        "deadline",
        "shared",
        "transport",
        "writing_paused",
    )

    _declared: int | None
    _fields: list[tuple[bytes, bytes]]

    def __init__(self, shared: Connections) -> None:
        self.shared = shared
        self.deadline = inf
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Exchange] = deque()
        self._active: Exchange | None = None
        self._parsing: Exchange | None = None
        self._phase = _HEAD
        self._timed = -1
        self._seen = False
        self._eof = False
        self._last = False
        self.writing_paused = False
        self._begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.shared.open.add(self)
        if len(self.shared.open) > self.shared.limits.connections:
            self._refuse(_Refused("unavailable", "too many connections"))
        else:
            self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self.shared.forget(self)
        for exchange in (self._active, self._parsing, *self._queue):
            if exchange is not None:
                exchange.disconnect()
        self._queue.clear()

    def data_received(self, data: bytes) -> None:
        if self._phase == _LINGER or self._last:
            return
        try:
            if self._phase == _HEAD or self._phase == _IDLE:
                self._feed_head(data)
            else:
                self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            self._refuse(_cause(error))
        except httptools.HttpParserUpgrade:  # not taken: the request is answered as if it had not asked
            if self._parsing is not None or self._active is not None:
                (self._parsing or cast(Exchange, self._active)).keep_alive = False
        except httptools.HttpParserError:
            self._refuse(_Refused("invalid_input", "the request is not valid HTTP/1.1"))
        except _Refused as refused:
            self._refuse(refused)
        if self._phase != self._timed:
            self._arm()
        elif self._parsing is not None and self._parsing.passed:
            self._lengthen(len(data))

    def eof_received(self) -> bool:
        if self._phase == _BODY or (self._phase == _HEAD and self._seen):
            self._refuse(_Refused("invalid_input", "the request ended too early"))
            return True
        self._eof = True
        if self._active is not None:
            self._active.eof()
        return self._active is not None  # it may have closed only its own side

    def pause_writing(self) -> None:
        self.writing_paused = True
        self.deadline = self.shared.loop.time() + self.shared.limits.write_seconds
        self._timed = _WRITE

    def resume_writing(self) -> None:
        self.writing_paused = False
        self._arm()
        if self._active is not None:
            self._active.resume_writing()

    def pause_body(self, exchange: Exchange) -> None:
        """More of the body has come than the application has taken; of one that is passed on, the caller's time
        stands still."""
        self.transport.pause_reading()
        if exchange.passed and self._timed == _BODY:
            self.deadline = inf

    def resume_body(self, exchange: Exchange) -> None:
        self.transport.resume_reading()
        if exchange.passed and self._timed == _BODY:
            self._arm()

    def on_message_begin(self) -> None:
        self._begin()
        self._phase = _HEAD
        self._seen = True

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self.shared.limits.url:
            raise _Refused("uri_too_long", f"the URL is too long; allowed: {self.shared.limits.url} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._fields.append((name, value))
        self._headers += len(name) + len(value) + 4
        limits = self.shared.limits
        if self._headers > limits.headers or len(self._fields) > limits.header_count:
            raise _too_many_headers(limits)
        if name == b"content-length":
            self._declared = length = _length(value)
            if length > limits.body:
                self._check_passed(length)
        elif name == b"expect":
            self._expect = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        self._phase = _BODY
        self._seen = False
        exchange = Exchange(self, self._scope(), self._declared, self._expect)
        exchange.keep_alive = self._parser.should_keep_alive() and not self.shared.closing
        if exchange.scope["raw_path"].startswith(RAW_PREFIXES):
            exchange.passed, self._body_left = True, self.shared.limits.passed_body
        self._parsing = exchange
        if self._active is None:
            self._start(exchange)
        elif len(self._queue) < self.shared.limits.pipeline:
            self._queue.append(exchange)
            self.transport.pause_reading()
        else:
            self.transport.abort()

    def on_body(self, body: bytes) -> None:
        self._body_left -= len(body)
        if self._body_left < 0:
            raise _too_large(self.shared.limits)
        if self._parsing is not None:
            self._parsing.feed(body)

    def on_message_complete(self) -> None:
        self._phase = _WORK
        if self._parsing is not None:
            self._last = self._last or not self._parsing.keep_alive
            self._parsing.end()
            self._parsing = None
        if self._active is None:
            self._phase = _IDLE

    def respond(self, exchange: Exchange, data: bytes) -> None:
        """Write a whole answer and go on with the next request."""
        self.transport.write(data)
        self._active = None
        if not exchange.keep_alive or not exchange.complete:
            self._end(exchange.complete)
        elif self._eof and not self._queue:
            self.transport.close()
        elif self._queue:
            self._start(self._queue.popleft())
            if not self._queue:
                self.transport.resume_reading()
        else:
            if self._phase == _WORK:
                self._phase = _IDLE
            if self._timed != _WRITE:
                self._arm()

    def finish(self) -> None:
        """Close now where nothing is under way, else after the answer."""
        if self._active is not None:
            self._active.keep_alive = False
        elif self._phase != _LINGER:
            self.transport.close()

    def expire(self) -> None:
        """The deadline of the phase has passed."""
        waiting = self._timed
        if waiting == _BODY or (waiting == _HEAD and self._seen):
            self._refuse(_Refused("request_timeout", "the request did not arrive in time"))
        elif waiting in (_HEAD, _IDLE):
            self.transport.close()
            self.deadline = inf
        else:
            self.transport.abort()

    def abort(self) -> None:
        self.transport.abort()

    def _begin(self) -> None:
        self._url = b""
        self._fields = []
        self._headers = 0
        self._head_bytes = 0
        self._declared = None
        self._expect = False
        self._body_left = self.shared.limits.body

    def _feed_head(self, data: bytes) -> None:
        limits = self.shared.limits
        for start in range(0, len(data), _PIECE):
            piece = data if len(data) <= _PIECE else data[start : start + _PIECE]
            self._parser.feed_data(piece)
            if self._phase == _HEAD:
                self._head_bytes += len(piece)
                if self._head_bytes > limits.headers + limits.url + _PIECE:
                    raise _too_many_headers(limits)

    def _scope(self) -> Message:
        url = self._url
        if not url.startswith(b"/"):
            url = _origin_form(url)
        raw_path, _, query = url.partition(b"?")
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": self._parser.get_http_version(),
            "method": self._parser.get_method().decode("ascii"),
            "scheme": "http",
            "path": raw_path.decode("latin-1"),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": self._fields,
        }

    def _start(self, exchange: Exchange) -> None:
        self._active = exchange
        app = self.shared.app(exchange.scope, exchange.receive, exchange.send)
        exchange.task = self.shared.loop.create_task(app)

    def _check_passed(self, length: int) -> None:
        """A body that is larger than others may be. Raises _Refused."""
        limits = self.shared.limits
        if not self._url.startswith(RAW_PREFIXES):
            raise _too_large(limits)
        if length > limits.passed_body:
            raise _Refused("too_large", f"the body is too large; allowed: {limits.passed_body} bytes")

    def _lengthen(self, size: int) -> None:
        """A large body may take its time as long as it comes with some speed."""
        limits = self.shared.limits
        latest = self.shared.loop.time() + limits.body_seconds
        if self._timed == _BODY and self.deadline != inf:
            self.deadline = min(self.deadline + size / limits.passed_rate, latest)

    def _arm(self) -> None:
        self._timed = self._phase
        limits = self.shared.limits
        if self._phase == _WORK:
            self.deadline = inf
            return
        seconds = {
            _HEAD: limits.header_seconds,
            _BODY: limits.body_seconds,
            _IDLE: limits.idle_seconds,
            _LINGER: limits.linger_seconds,
        }[self._phase]
        self.deadline = self.shared.loop.time() + seconds

    def _refuse(self, refused: _Refused) -> None:
        """Answer an error that is not the application's, and end the connection."""
        exchange = self._active
        if self._last or self.transport.is_closing():
            return
        if exchange is not None and exchange is not self._parsing:
            # An answer is owed to an earlier request, and an error out of turn would be taken for it.
            self._end_after_answers()
            return
        path = self._url.partition(b"?")[0].decode("latin-1")
        status, headers, body = self.shared.app.refusal(path, refused.code, refused.message)
        self.transport.write(encode(status, headers, body, self.shared.date, keep_alive=False))
        if exchange is not None:
            exchange.disconnect()
        self._active = self._parsing = None
        self._end(clean=False)

    def _end_after_answers(self) -> None:
        self._last = True
        if self._queue and self._queue[-1] is self._parsing:
            self._queue.pop()
        owed = self._queue[-1] if self._queue else self._active
        if owed is not None:
            owed.keep_alive = False
        self._phase = _WORK

    def _end(self, clean: bool) -> None:
        """Close; where more may be on its way, first say so and read on for a while: an answer must not be
        lost to a reset (RFC 9112, 9.6)."""
        if clean or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self._phase = _LINGER
        self.transport.resume_reading()
        self._arm()


def _cause(error: BaseException) -> _Refused:
    inner = error.__context__ or error.__cause__
    if isinstance(inner, _Refused):
        return inner
    raise error


def _too_many_headers(limits: Limits) -> _Refused:
    return _Refused(
        "headers_too_large",
        f"the headers are too large; allowed: {limits.headers} bytes and {limits.header_count} of them",
    )


def _too_large(limits: Limits) -> _Refused:
    return _Refused("too_large", f"the body is too large; allowed: {limits.body} bytes")


def _length(value: bytes) -> int:
    text = value.strip()
    if not text.isdigit():
        raise _Refused("invalid_input", "Content-Length is not a number")
    return int(text[:20])


def _origin_form(url: bytes) -> bytes:
    """What a proxy would send: "http://host/path" becomes "/path". Anything else fits no path."""
    _, scheme, rest = url.partition(b"://")
    slash = rest.find(b"/")
    return rest[slash:] if scheme and slash >= 0 else b"*"
