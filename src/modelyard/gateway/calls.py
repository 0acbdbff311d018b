"""Calls of models that generate: admitted by tokens, sent to the replica that suits, and streamed back.

body ─▶ address ─▶ an answer that is kept or under way
               └─▶ budget ─▶ lane (whose turn, which replica) ─▶ flow of pieces ─▶ caller
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from modelyard.dialects import Address, Match
from modelyard.errors import DeadlineExceeded, NotFound, Unavailable
from modelyard.gateway import bodies
from modelyard.gateway.answers import Answers, RawHeaders, Shared, digest_of
from modelyard.gateway.bodies import Body, CallerGone
from modelyard.gateway.deployments import Deployment, Deployments
from modelyard.gateway.lane import Place, Turn
from modelyard.gateway.prefixes import blocks_of
from modelyard.gateway.usage import Ledger
from modelyard.serving import frames
from modelyard.serving.flow import Flow, TooSlow
from modelyard.serving.frames import MORE
from modelyard.serving.link import Link, ReplicaLost
from modelyard.types.generation import Usage
from modelyard.types.route import KeyGrant

Message = dict[str, Any]
Headers = dict[bytes, bytes]
Receive = Callable[[], Awaitable[Message]]
Begin = Callable[[int, RawHeaders], Awaitable[None]]
Give = Callable[[bytes], Awaitable[None]]
Wake = Callable[[Deployment], None]

_BYTES_A_TOKEN: Final = 4
_ASSUMED: Final = 1024  # tokens of an answer whose request says no most
_MOST_FALLBACKS: Final = 3
_HIT: Final = (b"x-modelyard-cache", b"hit")
_SECONDS: Final = 600.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request, understood as far as the gateway has to."""

    match: Match
    grant: KeyGrant
    address: Address
    headers: bytes
    body: Body
    until: float

    @property
    def tokens(self) -> int:
        """The most that it may use, about; for a prompt all of whose bytes are tokens it is too little."""
        most = _ASSUMED if self.address.most is None else self.address.most
        return len(self.address.prompt) // _BYTES_A_TOKEN + most * self.address.choices


class Sink:
    """Where an answer goes: the caller, or those who share it."""

    def __init__(self, begin: Begin, give: Give) -> None:
        self.begin, self.give = begin, give
        self.begun = False


class Calls:
    """`wake` is told of deployments whose replicas sleep."""

    def __init__(self, deployments: Deployments, ledger: Ledger, wake: Wake) -> None:
        self._deployments = deployments
        self._ledger = ledger
        self._wake = wake
        self.answers = Answers()

    def find(self, grant: KeyGrant, name: str) -> Deployment:
        """Raises NotFound."""
        deployment = self._deployments.find(grant.tenant, name)
        if deployment is None:
            raise NotFound(f"no model {name[:64]!r}")
        return deployment

    async def serve(self, call: Call, deployment: Deployment, sink: Sink) -> None:
        """Answer into the sink. Raises only before anything was answered."""
        serving = deployment.serving
        if not serving.cache or not call.address.exact:
            return await self._answer(call, deployment, sink)
        key = _key(call, deployment)
        if (kept := self.answers.find(key)) is not None:
            self._ledger.add(call.grant, deployment.name, Usage())
            await sink.begin(200, [*kept.headers, _HIT])
            return await sink.give(kept.body)
        await self._share(key, call, deployment, sink)

    async def _share(self, key: bytes, call: Call, deployment: Deployment, sink: Sink) -> None:
        """The first who asks starts the work; who asks the same meanwhile reads along."""
        shared = self.answers.shared.get(key)
        if shared is None:
            shared = self.answers.shared[key] = Shared()
            work = self._work_shared(key, shared, call, deployment)
            shared.work = asyncio.get_running_loop().create_task(work)
        else:
            self.answers.joined += 1
            self._ledger.add(call.grant, deployment.name, Usage())
        shared.readers += 1
        try:
            status, headers = await shared.head()
            await sink.begin(status, headers)
            async for piece in shared.pieces():
                await sink.give(piece)
        finally:
            shared.leave()

    async def _work_shared(self, key: bytes, shared: Shared, call: Call, deployment: Deployment) -> None:
        head: list[tuple[int, RawHeaders]] = []

        async def begin(status: int, headers: RawHeaders) -> None:
            head.append((status, headers))
            shared.begin(status, headers)

        async def give(piece: bytes) -> None:
            shared.add(piece)

        try:
            await self._answer(call, deployment, Sink(begin, give))
            if head and head[0][0] == 200:
                self.answers.keep(key, head[0][1], shared.body, deployment.serving.cache)
            shared.end()
        except (Exception, asyncio.CancelledError) as failure:
            shared.end(failure)
        finally:
            del self.answers.shared[key]

    async def _answer(self, call: Call, deployment: Deployment, sink: Sink) -> None:
        """By this deployment, or by one that stands in for it."""
        asked = {deployment.name}
        while True:
            try:
                return await self._ask(call, deployment, sink)
            except (Unavailable, DeadlineExceeded, ReplicaLost) as failure:
                other = self._fallback(call, deployment, asked)
                if other is None or sink.begun or time.monotonic() >= call.until:
                    raise _told(failure, deployment) from None
                _log.warning(
                    "%s", json.dumps({"event": "fallback", "model": deployment.name, "to": other.name})
                )
                deployment = other

    def _fallback(self, call: Call, deployment: Deployment, asked: set[str]) -> Deployment | None:
        name = deployment.serving.fallback
        if not name or name in asked or len(asked) > _MOST_FALLBACKS:
            return None
        asked.add(name)
        return self._deployments.find(call.grant.tenant, name)

    async def _ask(self, call: Call, deployment: Deployment, sink: Sink) -> None:
        reservation = self._ledger.reserve(call.grant, call.tokens)
        used = Usage()
        try:
            avoid: Link | None = None
            for attempt in range(2):
                place = await self._enter(call, deployment, avoid)
                flow = _open(call, place)
                try:
                    return await self._relay(deployment, place, flow, sink)
                except ReplicaLost:
                    avoid = place.link
                    if sink.begun or attempt:
                        raise
                finally:
                    used = flow.usage
                    flow.cancel()
                    place.leave()
        finally:
            reservation.settle(deployment.name, used)

    async def _enter(self, call: Call, deployment: Deployment, avoid: Link | None) -> Place:
        turn = Turn(
            tenant=call.grant.tenant,
            key=call.grant.id,
            prompt=len(call.address.prompt),
            blocks=blocks_of(call.address.prompt),
            slots=call.address.choices,
            priority=call.grant.priority,
            wanted=call.match.version,
            avoid=avoid,
            until=call.until,
        )
        await deployment.wait_for_lines(call.until)
        if deployment.asleep:
            self._wake(deployment)
        return await deployment.lane.enter(turn)

    async def _relay(self, deployment: Deployment, place: Place, flow: Flow, sink: Sink) -> None:
        started = time.monotonic()
        meter = place.version.meter
        try:
            answer = await flow.answer
            status = answer.status
            sink.begun = True
            await sink.begin(status, _headers(answer))
            if answer.body:
                await sink.give(answer.body)
            if answer.flags & MORE:
                while (pieces := await flow.next()) is not None:
                    await sink.give(pieces)
        except (CallerGone, TooSlow, asyncio.CancelledError):
            meter.add(499, time.monotonic() - started)
            raise
        except ReplicaLost:
            meter.add(502, time.monotonic() - started)
            raise
        except DeadlineExceeded:
            meter.add(504, time.monotonic() - started)
            raise
        meter.add(status, time.monotonic() - started)
        meter.generated(flow.usage, place.first_token, time.monotonic() - started)


def until(deployment: Deployment, asked: bytes | None) -> float:
    """The monotonic time at which a call has to be answered. Raises as `bodies.seconds_left`."""
    seconds = deployment.serving.timeout or max(deployment.timeout, _SECONDS)
    return time.monotonic() + bodies.seconds_left(seconds, asked)


async def while_there(work: Awaitable[None], receive: Receive) -> None:
    """Do the work as long as the caller is there. Raises CallerGone, and what the work raises."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(receive())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise CallerGone
        await task
    finally:
        for pending in (task, gone):
            pending.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


def _open(call: Call, place: Place) -> Flow:
    left = max(call.until - time.monotonic(), 0.001)
    head = call.match.number, call.match.code, call.headers
    flow = place.link.open(head, call.body.chunks, call.body.size, left)
    flow.counted = place.counted
    return flow


def _headers(answer: frames.Answer) -> RawHeaders:
    if not answer.headers:
        return [(b"content-type", b"application/json")]
    read = frames.read_headers(answer.headers)
    return [(k.encode("latin-1"), v.encode("latin-1")) for k, v in read.items()]


def _key(call: Call, deployment: Deployment) -> bytes:
    versions = ",".join(f"{v.digest}:{v.weight}" for v in deployment.all_versions())
    who = [call.grant.tenant.encode(), deployment.name.encode(), versions.encode()]
    what = [bytes([call.match.number, call.match.code]), call.match.version.encode(), *call.body.chunks]
    return digest_of([*who, *what[:2], b"".join(what[2:])])


def _told(failure: Exception, deployment: Deployment) -> Exception:
    if isinstance(failure, ReplicaLost):
        return Unavailable(f"the replicas of {deployment.name!r} were lost under way")
    return failure
