"""What the gateway passes on to control, so that callers need one address: unread, streaming both ways.

One line of PASSED a kind of path. A key is looked at here, so that who has none never reaches control; everything
else is control's to say. One connection a request: control is near, and these are not predictions.
"""

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

import httptools
import msgspec

from modelyard.errors import DeadlineExceeded, NotFound, Unavailable
from modelyard.gateway.bodies import CallerGone
from modelyard.gateway.limits import Limits

_log = logging.getLogger(__name__)

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
RawHeaders = list[tuple[bytes, bytes]]

_CHUNK: Final = 256 << 10
_SMALL: Final = 64 << 10  # a body up to this is sent before control has said that it wants it
_CONNECT_SECONDS: Final = 5.0
_CONTINUE: Final = 100
_EXPECT: Final = b"expect: 100-continue"
_HOP_BY_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
     b"trailer", b"transfer-encoding", b"upgrade"}
)  # fmt: skip
"""RFC 9110, 7.6.1: of one connection alone."""
_NOT_SENT: Final = _HOP_BY_HOP | {b"host", b"expect", b"x-request-id"}
_NOT_ANSWERED: Final = _HOP_BY_HOP | {b"date", b"server", b"x-request-id"}

_MLFLOW_CODES: Final = {
    "unauthorized": "UNAUTHENTICATED",
    "forbidden": "PERMISSION_DENIED",
    "not_found": "ENDPOINT_NOT_FOUND",
    "unavailable": "TEMPORARILY_UNAVAILABLE",
    "deadline_exceeded": "DEADLINE_EXCEEDED",
    "busy": "REQUEST_LIMIT_EXCEEDED",
}


def _as_mlflow(status: int, code: str, message: str, request_id: str) -> bytes:
    """As MLflow's clients read an error."""
    name = _MLFLOW_CODES.get(code, "INTERNAL_ERROR" if code == "internal" else "INVALID_PARAMETER_VALUE")
    return msgspec.json.encode({"error_code": name, "message": message, "request_id": request_id})


def _as_openai(status: int, code: str, message: str, request_id: str) -> bytes:
    """As OpenAI's clients do."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


ErrorBody = Callable[[int, str, str, str], bytes]
"""Status, code, message, the request's id -> an error's body."""


@dataclass(frozen=True, kw_only=True)
class Passed:
    """Paths that begin with `prefix`, or are it (`whole`), for keys with `scope` ("" is open)."""

    prefix: str
    scope: str
    whole: bool = False
    error: ErrorBody = _as_mlflow


PASSED: Final = (
    Passed(prefix="/api/2.0/mlflow", scope="track"),
    Passed(prefix="/api/3.0/mlflow", scope="track"),
    Passed(prefix="/version", scope="", whole=True),
    Passed(prefix="/v1/files", scope="predict", error=_as_openai),
    Passed(prefix="/v1/batches", scope="predict", error=_as_openai),
    Passed(prefix="/v1/fine_tuning", scope="track", error=_as_openai),
)
PREFIXES: Final = tuple(p.prefix for p in PASSED)
RAW_PREFIXES: Final = tuple(prefix.encode() for prefix in PREFIXES)


def passed(path: str) -> Passed | None:
    """The line of PASSED that a path belongs to."""
    return next((p for p in PASSED if path == p.prefix or (path.startswith(p.prefix) and not p.whole)), None)


def error_body(path: str, status: int, code: str, message: str, request_id: str) -> bytes:
    """In the shape that the callers of a path read."""
    line = passed(path)
    return (line.error if line is not None else _as_mlflow)(status, code, message, request_id)


def as_bearer(authorization: bytes | None) -> bytes | None:
    """Basic credentials (RFC 7617) as the bearer key that their password is; anything else as it is."""
    if authorization is None or authorization[:6].lower() != b"basic ":
        return authorization
    try:
        return b"Bearer " + base64.b64decode(authorization[6:].strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return None


def check_path(raw: bytes) -> None:
    """Raises NotFound for a path that could mean another one once it is decoded."""
    segments = unquote_to_bytes(raw).split(b"/")[1:]
    if b".." in segments or b"." in segments or b"" in segments[:-1] or b"\0" in raw:
        raise NotFound("no such path")


class Passing:
    """Asks control. `now` is how many requests are on their way."""

    def __init__(self, control_url: str, limits: Limits) -> None:
        url = urlsplit(control_url)
        self._host, self._port, self._netloc = url.hostname or "127.0.0.1", url.port or 80, url.netloc
        self._limits = limits
        self.now = 0

    async def forward(self, scope: Message, receive: Receive, send: Send, request_id: bytes) -> int:
        """Pass one request on and its answer back; the answer's status.

        Raises Unavailable where control cannot be asked, DeadlineExceeded where it is silent, CallerGone; all of
        them only before anything was answered. An answer that breaks off halfway breaks off for the caller too.
        """
        if self.now >= self._limits.passed_requests:
            raise Unavailable("too many requests to the platform at once")
        self.now += 1
        try:
            reader, writer = await self._connect()
            try:
                return await _Exchange(reader, writer, self._limits).run(
                    self._head(scope, request_id), scope["method"], receive, send, request_id
                )
            finally:
                writer.close()
        finally:
            self.now -= 1

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                return await asyncio.open_connection(self._host, self._port, limit=_CHUNK)
        except (OSError, TimeoutError):
            raise Unavailable("the platform's control does not answer now") from None

    def _head(self, scope: Message, request_id: bytes) -> bytes:
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        lines = [scope["method"].encode() + b" " + target + b" HTTP/1.1", b"host: " + self._netloc.encode()]
        not_sent = _NOT_SENT | _named_by_connection(scope["headers"])
        lines += [name + b": " + value for name, value in scope["headers"] if name not in not_sent]
        if is_chunked(scope["headers"]):
            lines.append(b"transfer-encoding: chunked")
        if _is_large(scope["headers"]):
            lines.append(_EXPECT)
        lines += [b"x-request-id: " + request_id, b"connection: close"]
        return b"\r\n".join(lines) + b"\r\n\r\n"


def _named_by_connection(headers: RawHeaders) -> set[bytes]:
    """What the sender says is of its connection alone; not that what this side needs could be taken away."""
    values = (value for name, value in headers if name == b"connection")
    named = {token.strip().lower() for value in values for token in value.split(b",")}
    return named - {b"content-length", b"authorization", b"content-type", b"content-encoding"}


def is_chunked(headers: RawHeaders) -> bool:
    return any(name == b"transfer-encoding" for name, _ in headers)


def _is_large(headers: RawHeaders) -> bool:
    """Whether the body may be so long that control should be asked first whether it wants it."""
    declared = max((int(value) for name, value in headers if name == b"content-length"), default=0)
    return declared > _SMALL or is_chunked(headers)


class _Exchange:
    """One request to control: the body goes one way while the answer may already come the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: Limits) -> None:
        self._reader, self._writer, self._limits = reader, writer, limits
        self._wanted = asyncio.Event()
        self._answer, self._parser = self._listen()

    async def run(self, head: bytes, method: str, receive: Receive, send: Send, request_id: bytes) -> int:
        self._writer.write(head)
        if _EXPECT not in head:
            self._wanted.set()
        upload = asyncio.create_task(self._upload(receive, b"transfer-encoding: chunked\r\n" in head))
        try:
            await self._read_head(upload)
            await self._give_back(method, send, request_id)
            return self._answer.status
        finally:
            upload.cancel()
            with suppress(asyncio.CancelledError, CallerGone, OSError):
                await upload

    @staticmethod
    def _listen() -> "tuple[_Answer, httptools.HttpResponseParser]":
        answer = _Answer()
        return answer, httptools.HttpResponseParser(answer)

    async def _upload(self, receive: Receive, in_chunks: bool) -> None:
        """Raises CallerGone. A control that takes no more has answered already, or is gone: reading tells."""
        await self._wanted.wait()
        with suppress(ConnectionError):
            more = True
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    self._writer.transport.abort()
                    raise CallerGone
                part, more = message["body"], message["more_body"]
                if part:
                    self._writer.write(b"%x\r\n%b\r\n" % (len(part), part) if in_chunks else part)
                    await self._writer.drain()
            if in_chunks:
                self._writer.write(b"0\r\n\r\n")

    async def _read_head(self, upload: "asyncio.Task[None]") -> None:
        reading = asyncio.ensure_future(self._until_head())
        try:
            done, _ = await asyncio.wait({reading, upload}, return_when=asyncio.FIRST_COMPLETED)
            if upload in done and upload.exception() is not None:
                await upload
            async with asyncio.timeout(self._limits.passed_seconds):
                await reading
        except TimeoutError:
            raise DeadlineExceeded("the platform's control did not answer in time") from None
        finally:
            reading.cancel()

    async def _until_head(self) -> None:
        while True:
            await self._feed("the platform's control does not answer now")
            self._answer.status = self._parser.get_status_code()
            if self._answer.begun and self._answer.status != _CONTINUE:
                return
            if self._answer.begun:
                self._answer, self._parser = self._listen()
                self._wanted.set()

    async def _feed(self, said: str) -> None:
        """Raises Unavailable where control broke off."""
        try:
            data = await self._reader.read(_CHUNK)
            if not data:
                raise ConnectionError
            self._parser.feed_data(data)
        except (OSError, httptools.HttpParserError):
            raise Unavailable(said) from None

    async def _give_back(self, method: str, send: Send, request_id: bytes) -> None:
        answer = self._answer
        whole = answer.complete or method == "HEAD"
        own = {b"content-length"} if whole else set()  # `send` counts a whole answer by itself
        headers = [(n, v) for n, v in answer.headers if n not in _NOT_ANSWERED | own]
        headers.append((b"x-request-id", request_id))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        try:
            if not whole:
                await self._stream_back(send)
        except CallerGone:
            raise
        except Exception as error:
            _log.warning("%s", json.dumps({"event": "answer_broke_off", "error": type(error).__name__}))
            return await send({"type": "http.response.abort", "more_body": True})
        await send({"type": "http.response.body", "body": answer.take()})

    async def _stream_back(self, send: Send) -> None:
        while not self._answer.complete:
            if parts := self._answer.take():
                await send({"type": "http.response.body", "body": parts, "more_body": True})
                continue
            async with asyncio.timeout(self._limits.passed_seconds):
                await self._feed("control broke off")


class _Answer:
    """What httptools says of control's answer."""

    def __init__(self) -> None:
        self.headers: RawHeaders = []
        self.status = 0
        self.begun = self.complete = False
        self._parts: list[bytes] = []

    def take(self) -> bytes:
        """What came of the body since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.begun = True

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        self.complete = True
