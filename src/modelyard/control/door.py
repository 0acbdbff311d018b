"""What stands before every route: the request's id, its host and origin, its key, the size and form of its
body.

Closed by default: a path needs a key with the scope `admin` unless it is named here.
"""

import asyncio
import base64
import binascii
import ipaddress
import logging
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelyard.control import access
from modelyard.control.access import OPEN
from modelyard.control.answers import error_headers, said
from modelyard.errors import Forbidden, InvalidInput, ModelyardError, TooLarge, Unauthorized
from modelyard.types.ids import new_id
from modelyard.types.route import KeyGrant

_access = logging.getLogger("modelyard.access")

INTERNAL: Final = "/internal/"  # these check tokens of their own
UPLOADS: Final = "/api/v1/uploads"  # its body is no JSON and streams
_JSON_DEPTH: Final = 100
_URL_BYTES: Final = 8 << 10
_HEADERS: Final = 100
_HEADER_BYTES: Final = 16 << 10
_BODY_SECONDS: Final = 60.0

Authenticate = Callable[[str], KeyGrant]


class Refused(ModelyardError):
    """What only this door says: a code of `answers.STATUS`."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.refusal = code


class Door:
    """ASGI middleware. `state` gets `request_id` and, where a key was needed, `grant`."""

    def __init__(self, app: ASGIApp, *, authenticate: Authenticate, host: str) -> None:
        self._app, self._authenticate = app, authenticate
        self._hosts = _names_of(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        request_id, started, status = new_id("req"), time.monotonic(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["x-content-type-options"] = "nosniff"
                headers.setdefault("cache-control", "no-store")
            await send(message)

        scope.setdefault("state", {})["request_id"] = request_id
        try:
            await self._app(scope, await self._check(scope, receive), answer)
        except ModelyardError as error:
            await _refuse(answer, error, scope["path"], request_id)
        finally:
            _log_access(scope, status, time.monotonic() - started, request_id)

    async def _check(self, scope: Scope, receive: Receive) -> Receive:
        """The `receive` that the routes may use. Raises ModelyardError for who may not come in."""
        if scope["type"] != "http":
            raise Refused("not_found", "there is no such address")
        _check_head(scope)
        headers = Headers(scope=scope)
        self._check_host(headers)
        _check_origin(scope, headers)
        path = scope["path"]
        if path not in OPEN and not path.startswith(INTERNAL):
            grant = await self._grant(path, headers)
            scope["state"]["grant"] = grant
            _check_scope(path, grant)
        if path == UPLOADS or access.streams(scope["method"], path):
            return receive
        return await _json_body(headers, receive, access.json_bytes(path))

    def _check_host(self, headers: Headers) -> None:
        """A page of elsewhere whose name was bound to our address sends its own name."""
        hosts = headers.getlist("host")
        name = _host_name(hosts[0]) if len(hosts) == 1 else ""
        if name not in self._hosts and not ("*" in self._hosts and _address(name)) and not _loopback(name):
            raise Refused("misdirected", "this platform is not known by this name")

    async def _grant(self, path: str, headers: Headers) -> KeyGrant:
        values = headers.getlist("authorization")
        if not values:
            raise Unauthorized("a key is needed: Authorization: Bearer yard_...")
        scheme, _, key = values[0].partition(" ")
        if scheme.lower() == "basic" and access.scope_of(path) == "track":
            scheme, key = "bearer", _password(key)  # as MLflow's clients show it
        if len(values) > 1 or scheme.lower() != "bearer" or not key.strip():
            raise Unauthorized("the Authorization header", allowed="one, as: Bearer yard_...")
        return await run_in_threadpool(self._authenticate, key.strip())


def _check_scope(path: str, grant: KeyGrant) -> None:
    wanted = access.scope_of(path)
    if "admin" not in grant.scopes and wanted not in grant.scopes:
        raise Forbidden("this key may not manage the platform", came=grant.scopes,
                        allowed="admin" if wanted == "admin" else f"{wanted}, admin")  # fmt: skip


def _password(encoded: str) -> str:
    """Of "name:password" (RFC 7617); "" for what is none."""
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


async def _refuse(send: Send, error: ModelyardError, path: str, request_id: str) -> None:
    code = error.refusal if isinstance(error, Refused) else error.code
    status, body = said(path, code, error.message, request_id)
    headers = {"content-type": "application/json", "content-length": str(len(body)), **error_headers(code)}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def _json_body(headers: Headers, receive: Receive, limit: int) -> Receive:
    """Read the body, check that it is JSON that can be worked with, and give it to the routes again."""
    body = await _read(headers, receive, limit)
    if body:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" or headers.get("content-encoding", "identity") != "identity":
            raise Refused("unsupported_media_type", "the body must be application/json, without encoding")
        _check_json(body)
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _read(headers: Headers, receive: Receive, limit: int) -> bytes:
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > limit:
        raise TooLarge("the body is too large", came=f"{length} bytes", allowed=f"{limit} bytes")
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while True:
                message = await receive()
                body += message.get("body", b"")
                if len(body) > limit:
                    raise TooLarge("the body is too large", allowed=f"{limit} bytes")
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise Refused("timeout", f"the body did not come within {_BODY_SECONDS:g} s") from None


def _check_json(body: bytes) -> None:
    """msgspec is strict where the standard library is not: NaN, lone surrogates, UTF-16, endless numbers."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the body is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidInput("the body must be a JSON object", came=type(value).__name__)
    level: list[Any] = [value]
    for _ in range(_JSON_DEPTH):
        level = [inner for outer in level for inner in _inner(outer)]
        if not level:
            return
    raise InvalidInput("the body is nested too deeply", allowed=f"{_JSON_DEPTH} levels")


def _inner(value: Any) -> list[Any]:
    values = value.values() if isinstance(value, dict) else value
    return [v for v in values if isinstance(v, dict | list)]


def _check_head(scope: Scope) -> None:
    if len(scope["raw_path"]) + len(scope["query_string"]) > _URL_BYTES:
        raise Refused("uri_too_long", f"the address is longer than {_URL_BYTES} bytes")
    headers = scope["headers"]
    if len(headers) > _HEADERS or sum(len(n) + len(v) + 4 for n, v in headers) > _HEADER_BYTES:
        raise Refused("headers_too_large", f"the headers are more than {_HEADERS}, or {_HEADER_BYTES} bytes")


def _check_origin(scope: Scope, headers: Headers) -> None:
    """A browser says which page asks; only a page of this very address may."""
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"{scope['scheme']}://{headers['host']}".lower():
        raise Forbidden("pages of other origins may not ask this platform")


def _names_of(host: str) -> frozenset[str]:
    """What we are called; "*" where we listen on every address, each of which is then a good name."""
    if host in ("0.0.0.0", "::", ""):
        return frozenset({"localhost", socket.gethostname().lower(), socket.getfqdn().lower(), "*"})
    return frozenset({"localhost", host.lower()})


def _host_name(host: str) -> str:
    """ "localhost:8801" -> "localhost", "[::1]:8801" -> "::1"."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _loopback(name: str) -> bool:
    address = _address(name)
    return address is not None and address.is_loopback


def _log_access(scope: Mapping[str, Any], status: int, seconds: float, request_id: str) -> None:
    line = {"method": scope.get("method"), "path": str(scope.get("path"))[:200], "status": status,
            "ms": round(seconds * 1000, 1), "request_id": request_id}  # fmt: skip
    _access.info("%s", msgspec.json.encode(line).decode())
