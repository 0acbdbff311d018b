"""The gateway's application, raw ASGI: match, admit, forward. On the way of a prediction there is nothing
else.

A prediction's body is passed on unread. Errors of every kind become the dialect's error shape here.
"""

import itertools
import json
import logging
import re
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

from modelyard import dialects
from modelyard.dialects import DIALECTS, STATUS, Generating, Match, Response
from modelyard.errors import (
    DeadlineExceeded,
    ModelyardError,
    NotFound,
    Unauthorized,
    Unavailable,
    UnsupportedMedia,
)
from modelyard.gateway import bodies, metrics
from modelyard.gateway.bodies import Body, Budget, CallerGone
from modelyard.gateway.calls import Call, Calls, Sink, Wake, until, while_there
from modelyard.gateway.deployments import REACHING, Deployment, Deployments, TenantCatalog, Version
from modelyard.gateway.keys import Keys, require
from modelyard.gateway.lane import Late
from modelyard.gateway.limits import Limits
from modelyard.gateway.passing import PREFIXES, Passing, as_bearer, check_path, passed
from modelyard.gateway.passing import error_body as passed_error
from modelyard.gateway.usage import Ledger, Spent
from modelyard.serving import frames
from modelyard.serving.flow import TooSlow
from modelyard.serving.frames import Answer
from modelyard.serving.link import Link, ReplicaLost
from modelyard.types.generation import Usage
from modelyard.types.route import DEFAULT_TENANT, KeyGrant, Snapshot

Message = dict[str, Any]
Headers = dict[bytes, bytes]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_JSON: Final = (b"content-type", b"application/json")
_SANE_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}").fullmatch
_MATCHES: Final = 4096  # paths remembered
_LOGGED: Final = 100  # failures a second that get a line
_RETRY_AFTER: Final = "1"
_STREAM: Final = b"text/event-stream"
_BYTES_A_TOKEN: Final = 4
_UNCOUNTED: Final = Usage()  # predictions have no tokens: they count as requests alone
TOKENS_HEADER: Final = b"x-modelyard-tokens"
"""From a replica that runs batches: tokens that a request was. It goes no further."""

_log = logging.getLogger(__name__)


class Gateway:
    """ASGI 3. `update` gives it a snapshot; until then it answers 503 to all that needs a key."""

    def __init__(
        self,
        deployments: Deployments,
        limits: Limits,
        passing: Passing | None = None,
        ledger: Ledger | None = None,
        wake: Wake | None = None,
    ) -> None:
        self._deployments = deployments
        self._passing = passing
        self._budget = Budget(limits)
        self._limits = limits
        self._keys: Keys | None = None
        self._matches: dict[tuple[str, str], Match | None] = {}
        self._ids = itertools.count(1)
        self._id_prefix = f"req-{secrets.token_hex(6)}-"
        self._refused: Counter[str] = Counter()
        self._in_flight = 0
        self._ledger = ledger or Ledger()
        self._wake = wake or _nobody
        self._calls = Calls(deployments, self._ledger, self._wake)
        self._log_second, self._logged = 0, 0

    def update(self, snapshot: Snapshot) -> None:
        self._keys = Keys(snapshot.secret, snapshot.keys)
        self._deployments.update(snapshot.routes, self._limits.drain_seconds)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        headers: Headers = dict(scope["headers"])
        came = headers.get(b"x-request-id")
        request_id = came if came is not None and _SANE_ID(came) else self._new_id()
        try:
            if scope["path"].startswith(PREFIXES):
                return await self._pass(scope, headers, receive, send, request_id)
            match = self._match(scope["method"], scope["path"])
            if match is not None and match.operation and self._generates(match):
                return await self._call(scope, match, headers, receive, send, request_id)
            status, answered, body = await self._answer(scope, match, headers, receive, request_id)
        except (CallerGone, TooSlow):
            return
        except Exception as error:
            status, answered, body = self._failed(scope, error, request_id)
        answered.append((b"x-request-id", request_id))
        await send({"type": "http.response.start", "status": status, "headers": answered})
        await send({"type": "http.response.body", "body": body})

    def refusal(self, path: str, code: str, message: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """See `gateway.http.Application`."""
        request_id = self._new_id()
        self._note(request_id, "", path, STATUS[code], code)
        response = _error(path, STATUS[code], code, message, request_id.decode())
        return response.status, [*_headers(response), (b"x-request-id", request_id)], response.body

    async def _answer(
        self, scope: Message, match: Match | None, headers: Headers, receive: Receive, request_id: bytes
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        if match is None or not match.operation:
            response = await self._own(scope, headers, match, request_id)
        elif match.forward:
            answer = await self._predict(match, headers, receive)
            if answer[0] >= 400:
                self._note(request_id, scope["method"], scope["path"], answer[0], "refused_by_replica")
            return answer
        else:
            response = await self._from_catalog(match, headers, receive)
        return response.status, _headers(response), response.body

    async def _pass(
        self, scope: Message, headers: Headers, receive: Receive, send: Send, request_id: bytes
    ) -> None:
        """To control, where the key is good for it."""
        line = passed(scope["path"])
        if line is None or self._passing is None:
            raise NotFound("no such path")
        check_path(scope["raw_path"])
        if line.scope:
            self._admit({b"authorization": as_bearer(headers.get(b"authorization"))}, line.scope)
        status = await self._passing.forward(scope, receive, send, request_id)
        if status >= 400:
            self._note(request_id, scope["method"], scope["path"], status, "refused_by_control")

    async def _call(
        self,
        scope: Message,
        match: Match,
        headers: Headers,
        receive: Receive,
        send: Send,
        request_id: bytes,
    ) -> None:
        """A request whose body names its model."""
        sent = _Sent(send, request_id)
        grant = self._admit(headers, "predict")
        _check_media(match, headers.get(b"content-type"))
        body = Body(self._budget)
        self._in_flight += 1
        try:
            await bodies.read(receive, body, headers.get(b"content-encoding"))
            dialect = cast(Generating, DIALECTS[match.number])
            address = dialect.address(match, headers, b"".join(body.chunks))
            deployment = self._calls.find(grant, address.model)
            _check_asked(match, deployment)
            if deployment.generates:
                call = Call(
                    match=match,
                    grant=grant,
                    address=address,
                    headers=_asked_headers(match, headers),
                    body=body,
                    until=until(deployment, headers.get(b"modelyard-timeout")),
                )
                work = self._calls.serve(call, deployment, Sink(sent.begin, sent.give))
                await while_there(work, receive)
            else:
                await self._batched(match, grant, deployment, headers, body, sent)
            await sent.end()
        except Exception as error:
            if not sent.begun or isinstance(error, CallerGone | TooSlow):
                raise
            _log.warning("%s", json.dumps({"event": "answer_broke_off", "error": type(error).__name__}))
            await sent.abort()
        finally:
            body.release()
            self._in_flight -= 1
            if sent.status >= 400:
                self._note(request_id, scope["method"], scope["path"], sent.status, "refused_by_replica")

    async def _batched(
        self,
        match: Match,
        grant: KeyGrant,
        deployment: Deployment,
        headers: Headers,
        body: Body,
        sent: "_Sent",
    ) -> None:
        """By a replica that runs batches: embeddings."""
        reservation = self._ledger.reserve(grant, body.size // _BYTES_A_TOKEN)
        tokens = 0
        try:
            await deployment.enter()
            try:
                status, answered, answer = await self._forward(match, deployment, headers, body)
            finally:
                deployment.leave()
            tokens = _tokens_of(answered)
            await sent.begin(status, answered)
            await sent.give(answer)
        finally:
            reservation.settle(deployment.name, Usage(prompt=tokens))

    async def _predict(
        self, match: Match, headers: Headers, receive: Receive
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        grant = self._admit(headers, "predict")
        deployment = self._deployment(match, grant)
        media = headers.get(b"content-type")
        if media != b"application/json":
            _check_media(match, media)
        await deployment.enter()
        body = Body(self._budget)
        self._in_flight += 1
        try:
            await bodies.read(receive, body, headers.get(b"content-encoding"))
            self._ledger.add(grant, deployment.name, _UNCOUNTED)
            return await self._forward(match, deployment, headers, body)
        finally:
            body.release()
            deployment.leave()
            self._in_flight -= 1

    async def _forward(
        self, match: Match, deployment: Deployment, headers: Headers, body: Body
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        started = time.monotonic()
        left = bodies.seconds_left(deployment.timeout, headers.get(b"modelyard-timeout"))
        chosen = deployment.choose(match.version)
        if chosen is None:
            chosen = await self._soon(deployment, match, started + left)
            left = max(started + left - time.monotonic(), 0.001)
        version, link = chosen
        head = match.number, match.code, _asked_headers(match, headers)
        try:
            answer = await link.ask(head, body.chunks, body.size, left)
        except DeadlineExceeded:
            version.meter.add(504, time.monotonic() - started)
            raise
        except ReplicaLost:
            version, answer = await _again(deployment, match, head, body, left + started, link)
        version.meter.add(answer.status, time.monotonic() - started)
        return answer.status, _answer_headers(answer), answer.body

    async def _soon(self, deployment: Deployment, match: Match, until: float) -> tuple[Version, Link]:
        """A replica, as soon as there is one to ask: it sleeps, or control calls it ready and the gateway has not
        heard so or not reached it yet. Raises Unavailable; of one that does not sleep, after `REACHING`."""
        while deployment.asleep and time.monotonic() < until:
            self._wake(deployment)
            await deployment.moved(until)
            if (chosen := deployment.choose(match.version)) is not None:
                return chosen
        if deployment.asleep:
            raise deployment.loading()
        until = min(until, time.monotonic() + REACHING)
        while not deployment.asleep and time.monotonic() < until:
            await deployment.moved(until)
            if (chosen := deployment.choose(match.version)) is not None:
                return chosen
        return _chosen(deployment, match)

    async def _from_catalog(self, match: Match, headers: Headers, receive: Receive) -> Response:
        tenant = "" if match.access == "open" else self._admit(headers, match.access).tenant
        body = Body(self._budget)
        try:
            await bodies.read(receive, body, headers.get(b"content-encoding"))
            catalog = TenantCatalog(self._deployments, tenant)
            return DIALECTS[match.number].answer(match, catalog, b"".join(body.chunks))
        finally:
            body.release()

    async def _own(
        self, scope: Message, headers: Headers, match: Match | None, request_id: bytes
    ) -> Response:
        """What belongs to no dialect: health, metrics, and methods and paths that are not there."""
        method, path = scope["method"], scope["path"]
        allowed = match.allowed if match is not None else _OWN.get(path)
        if allowed is None:
            raise NotFound("no such path")
        if method == "OPTIONS":
            return Response(204, headers={"allow": ", ".join(allowed)})
        if method not in allowed:
            text = f"method {method} is not allowed; allowed: {', '.join(allowed)}"
            self._note(request_id, method, path, 405, "method_not_allowed")
            response = _error(path, 405, "method_not_allowed", text, request_id.decode())
            return response._replace(headers={"allow": ", ".join(allowed)})
        if path == "/health":
            return Response(
                200, b'{"status":"ok","ready":%s}' % str(self._deployments.ready).lower().encode()
            )
        return await self._metrics(self._admit(headers, "metrics").tenant)

    async def _metrics(self, tenant: str) -> Response:
        """Of a tenant's own deployments; the first tenant sees all, and the gateway itself."""
        first = tenant == DEFAULT_TENANT
        shown = [d for d in self._deployments.all() if first or d.tenant == tenant]
        counts = metrics.Counts(self._refused, self._in_flight, self._calls.answers) if first else None
        return Response(200, await metrics.render(shown, counts), metrics.CONTENT_TYPE)

    def _generates(self, match: Match) -> bool:
        """Whether it may be for a model that generates: the body names the model, or the path one of these."""
        generating = self._deployments.generating
        known = match.forward and bool(generating) and match.model in generating
        return match.named or (known and isinstance(DIALECTS[match.number], Generating))

    def _match(self, method: str, path: str) -> Match | None:
        key = method, path
        found = self._matches.get(key)
        if found is None:
            found = dialects.match(method, path)
            if found is not None:
                if len(self._matches) >= _MATCHES:
                    self._matches.clear()
                self._matches[key] = found
        return found

    def _admit(self, headers: Mapping[bytes, bytes | None], scope: str) -> KeyGrant:
        if self._keys is None:
            raise Unavailable("the gateway has not heard from control yet")
        grant = self._keys.grant(headers.get(b"authorization"))
        require(grant, scope)
        return grant

    def _deployment(self, match: Match, grant: KeyGrant) -> Deployment:
        deployment = self._deployments.find(grant.tenant, match.model)
        if deployment is None:
            raise NotFound(f"no model {match.model!r}")
        _check_asked(match, deployment)
        return deployment

    def _failed(
        self, scope: Message, error: Exception, request_id: bytes
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        if not isinstance(error, ModelyardError):
            _log.error("%s", json.dumps({"event": "defect", "error": type(error).__name__}), exc_info=error)
            error = ModelyardError("internal error")
        path, code = scope["path"], error.code
        status = STATUS.get(code, 500)
        self._note(request_id, scope["method"], path, status, code)
        response = _error(path, status, code, error.message, request_id.decode())
        headers = _headers(response)
        if status in (429, 503):
            after = str(error.retry_after) if isinstance(error, Late | Spent) else _RETRY_AFTER
            headers.append((b"retry-after", after.encode()))
        if isinstance(error, Unauthorized):
            headers.append((b"www-authenticate", b"Bearer"))
        return status, headers, response.body

    def _note(self, request_id: bytes, method: str, path: str, status: int, code: str) -> None:
        """Count a failure and log it as one line; past a hundred a second they are only counted."""
        self._refused[code] += 1
        now = int(time.monotonic())
        if now != self._log_second:
            self._log_second, self._logged = now, 0
        self._logged += 1
        if self._logged <= _LOGGED:
            line = {
                "time": round(time.time(), 3),
                "event": "request_failed",
                "request_id": request_id.decode(),
                "method": method,
                "path": path[:200],
                "status": status,
                "code": code,
            }
            _log.warning("%s", json.dumps(line))

    def _new_id(self) -> bytes:
        return b"%s%x" % (self._id_prefix.encode(), next(self._ids))


class _Sent:
    """What was sent to the caller of one request."""

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self._id = request_id
        self._last = b""
        self._streams = False
        self.status = 0

    @property
    def begun(self) -> bool:
        return self.status > 0

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self._streams = any(name == b"content-type" and value.startswith(_STREAM) for name, value in headers)
        own = [(name, value) for name, value in headers if name != TOKENS_HEADER]
        answered = [*own, (b"x-request-id", self._id)]
        await self._send({"type": "http.response.start", "status": status, "headers": answered})

    async def give(self, body: bytes) -> None:
        """A piece leaves at once; an answer that is whole leaves with `end`."""
        if self._streams:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
        else:
            self._last += body

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": self._last})

    async def abort(self) -> None:
        """What the caller has must not look whole."""
        await self._send({"type": "http.response.abort", "more_body": True})


_OWN: Final = {"/health": ("GET", "HEAD", "OPTIONS"), "/metrics": ("GET", "HEAD", "OPTIONS")}


def _nobody(deployment: Deployment) -> None:
    """Nothing sleeps where nobody wakes."""


def _tokens_of(headers: list[tuple[bytes, bytes]]) -> int:
    return next((int(value) for name, value in headers if name == TOKENS_HEADER), 0)


def _chosen(deployment: Deployment, match: Match, avoid: Link | None = None) -> tuple[Version, Link]:
    chosen = deployment.choose(match.version, avoid)
    if chosen is None:
        raise Unavailable(f"no replica of {deployment.name!r} is ready")
    return chosen


async def _again(
    deployment: Deployment,
    match: Match,
    head: tuple[int, int, bytes],
    body: Body,
    until: float,
    lost: Link,
) -> tuple[Version, Answer]:
    """Ask another replica, once. Nothing was answered and a prediction changes nothing, so it is safe."""
    left = until - time.monotonic()
    if left <= 0:
        raise DeadlineExceeded("the model did not answer before the deadline")
    version, link = _chosen(deployment, match, lost)
    try:
        return version, await link.ask(head, body.chunks, body.size, left)
    except ReplicaLost:
        version.meter.add(503, 0.0)
        raise Unavailable(f"the replicas of {deployment.name!r} were lost under way") from None
    except DeadlineExceeded:
        version.meter.add(504, left)
        raise


def _check_asked(match: Match, deployment: Deployment) -> None:
    """The version and the task that the path names. Raises NotFound."""
    if match.version and match.version not in deployment.versions:
        raise NotFound(f"model {match.model!r} has no version {match.version!r}", allowed=deployment.versions)
    if match.task and match.task != deployment.task:
        raise NotFound(f"model {match.model!r} does not do this task", allowed=deployment.task)


def _check_media(match: Match, media: bytes | None) -> None:
    """Raises UnsupportedMedia; where the dialect looks at the body itself, anything may come."""
    allowed = DIALECTS[match.number].media
    if allowed is None or media is None:
        return
    name = media.partition(b";")[0].strip().lower().decode("latin-1")
    if name != "application/json" and name not in allowed:
        raise UnsupportedMedia("content type", came=name, allowed=["application/json", *allowed])


def _asked_headers(match: Match, headers: Headers) -> bytes:
    asked = {
        name: value.decode("latin-1")
        for name in DIALECTS[match.number].asks
        if (value := headers.get(name.encode())) is not None
    }
    return frames.pack_headers(asked) if asked else b""


def _answer_headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    if not answer.headers:
        return [_JSON]
    return [
        (k.encode("latin-1"), v.encode("latin-1")) for k, v in frames.read_headers(answer.headers).items()
    ]


def _error(path: str, status: int, code: str, message: str, request_id: str) -> Response:
    if path.startswith(PREFIXES):
        return Response(status, passed_error(path, status, code, message, request_id))
    dialect = dialects.of_path(path)
    if dialect is not None:
        return dialect.error(status, code, message, request_id)
    error = {"code": code, "message": message, "request_id": request_id}
    return Response(status, json.dumps({"error": error}).encode())


def _headers(response: Response) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", response.content_type.encode())] if response.status != 204 else []
    headers += [(name.encode(), value.encode()) for name, value in response.headers.items()]
    return headers
