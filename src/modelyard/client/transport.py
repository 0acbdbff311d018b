"""HTTP to control and the gateway: keys, deadlines, retries while control is started again, our errors."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from modelyard.client.settings import Settings
from modelyard.errors import DeadlineExceeded, InvalidInput, ModelyardError, Unavailable, from_dict

if TYPE_CHECKING:
    import httpx

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
PATIENCE = 8.0
"""Seconds for which a server that does not answer is tried again; control is started again within 5."""

_CODES = {400: "invalid_input", 401: "unauthorized", 403: "forbidden", 404: "not_found", 409: "conflict",
          413: "too_large", 429: "busy", 503: "unavailable", 504: "deadline_exceeded"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Request:
    """`content` makes the body anew for each attempt. `repeatable`: sending it twice does no harm."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    json: Any = None
    content: Callable[[], bytes | Iterator[bytes]] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    repeatable: bool = True
    timeout: float | None = None


class Transport:
    """Opened at the first request. `timeout`: seconds for one attempt; `patience`: for attempts in all."""

    def __init__(self, settings: Settings, timeout: float, patience: float = PATIENCE) -> None:
        self._settings, self._timeout, self._patience = settings, timeout, patience

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a GET; arguments that are None are left out."""
        return self.send(Request(method="GET", path=path, query=_texts(query)))

    def post(self, path: str, body: Any = None) -> Any:
        """A POST with an Idempotency-Key, so that it can be sent again when its answer was lost."""
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        return self.send(Request(method="POST", path=path, json=body, headers=headers))

    def send(self, request: Request) -> Any:
        """The JSON of the answer (None where it has no body). Raises the ModelyardError that it says."""
        return _parsed(self.raw(request))

    def raw(self, request: Request, base: str | None = None) -> "httpx.Response":
        """The answer as it is, read whole, to `base` (by default control)."""
        deadline, pause = time.monotonic() + self._patience, _FIRST_PAUSE
        while True:
            last = time.monotonic() + pause > deadline
            try:
                response = self._once(request, base or self._settings.url)
            except Unavailable:
                if last:
                    raise
            else:
                if last or response.status_code != 503 or base is not None:
                    return response
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def once(self, request: Request) -> "httpx.Response":
        """The answer of control to one attempt, whatever it says. Raises Unavailable where there is none."""
        return self._once(request, self._settings.url)

    def stream(self, path: str) -> Iterator[bytes]:
        """A file, piece by piece. Raises the ModelyardError that the answer says, and Unavailable where it breaks
        off."""
        import httpx

        try:
            with self._http.stream("GET", self._settings.url + path) as response:
                if response.status_code >= 400:
                    response.read()
                    raise error_of(response)
                yield from response.iter_bytes(1 << 20)
        except httpx.TransportError as error:
            raise Unavailable(
                f"the connection to {self._settings.url} broke off ({type(error).__name__})"
            ) from error

    def file(self, path: str) -> bytes:
        """A file, whole. Raises the ModelyardError that the answer says."""
        response = self.raw(Request(method="GET", path=path))
        if response.status_code >= 400:
            raise error_of(response)
        return response.content

    def pages(self, path: str, limit: int | None = None, **query: Any) -> Iterator[Any]:
        """The items of a list, over its pages, `limit` in all."""
        cursor, left = None, limit
        while left is None or left > 0:
            page = self.get(path, cursor=cursor, limit=min(left or 500, 500), **query)
            yield from page["items"]
            left = None if left is None else left - len(page["items"])
            cursor = page.get("next")
            if cursor is None:
                return

    def close(self) -> None:
        if "_http" in self.__dict__:
            self._http.close()

    @cached_property
    def _http(self) -> "httpx.Client":
        import httpx

        from modelyard import __version__

        headers = {"User-Agent": f"modelyard/{__version__}"}
        if self._settings.api_key:
            headers["Authorization"] = f"Bearer {self._settings.api_key}"
        return httpx.Client(
            headers=headers, timeout=self._timeout, trust_env=not _loopback(self._settings.url)
        )

    def _once(self, request: Request, base: str) -> "httpx.Response":
        import httpx

        body: dict[str, Any] = {}
        if request.content is not None:
            body["content"] = request.content()
        elif request.json is not None:
            body["content"] = json.dumps(request.json, allow_nan=False).encode()
        headers = ({"Content-Type": "application/json"} if request.json is not None else {}) | request.headers
        timeout = self._timeout if request.timeout is None else request.timeout
        try:
            return self._http.request(request.method, base + request.path, params=request.query or None,
                                      headers=headers, timeout=timeout, **body)  # fmt: skip
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unavailable(f"nothing answers at {base}; start the platform with: yard up") from error
        except httpx.TimeoutException as error:
            raise DeadlineExceeded(f"no answer from {base} within {timeout:g} s") from error
        except httpx.TransportError as error:
            return self._broken(request, base, error)

    def _broken(self, request: Request, base: str, error: Exception) -> "httpx.Response":
        """The connection broke halfway: what is repeatable is tried again as if nothing had answered."""
        text = f"the connection to {base} broke off ({type(error).__name__})"
        raise (Unavailable if request.repeatable else ModelyardError)(text) from error


def at(*segments: object) -> str:
    """A path of the management API; what users wrote stays one segment."""
    return "/api/v1/" + "/".join(quote(str(s), safe="@:") for s in segments)


def error_of(response: "httpx.Response") -> ModelyardError:
    """The error that an answer says, in the management API's shape or a dialect's."""
    try:
        said = json.loads(response.content)["error"]
    except (ValueError, KeyError, TypeError):
        said = None
    if isinstance(said, str):
        said = {"message": said}
    if not isinstance(said, dict):
        said = {"message": f"the server answered with status {response.status_code}"}
    code = (
        said.get("code")
        or response.headers.get("x-error-code")
        or _CODES.get(response.status_code, "internal")
    )
    error = from_dict({"code": code, "message": said.get("message", "unknown error")})
    if request_id := said.get("request_id"):
        error.add_note(f"request id {request_id}")
    return error


def _parsed(response: "httpx.Response") -> Any:
    if response.status_code >= 400:
        raise error_of(response)
    if not response.content:
        return None
    try:
        return json.loads(response.content)
    except ValueError as error:
        raise InvalidInput(f"{response.url} does not answer as Modelyard does") from error


def _loopback(url: str) -> bool:
    """Whether `url` is on this machine, where no proxy has a part."""
    import httpx

    return httpx.URL(url).host in ("localhost", "::1") or httpx.URL(url).host.startswith("127.")


def _texts(query: dict[str, Any]) -> dict[str, str]:
    return {k: str(v) for k, v in query.items() if v is not None}
