"""What our own processes ask: the gateway for snapshots, and to be heard of usage; runs to be heard. Each shows a
token of its own."""

import asyncio
import hmac
from collections.abc import AsyncIterator
from typing import Final, TypeVar

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from modelyard.cluster.secret import gateway_token
from modelyard.control.platform import Platform
from modelyard.control.routes.request import Here
from modelyard.control.services import run_events, sleeping, snapshots, usage
from modelyard.errors import InvalidInput, Unauthorized
from modelyard.types.activity import ActivityReport, Wake
from modelyard.types.run import RunEvents
from modelyard.types.usage import UsageReport

router = APIRouter(prefix="/internal", include_in_schema=False)
_HEARTBEAT: Final = 5.0  # seconds between two lines, at most
_events = msgspec.json.Decoder(RunEvents)
_activity = msgspec.json.Decoder(ActivityReport)
_wake = msgspec.json.Decoder(Wake)
_usage = msgspec.json.Decoder(UsageReport)
T = TypeVar("T")


@router.get("/snapshots")
async def stream_snapshots(request: Request, platform: Here) -> StreamingResponse:
    """One Snapshot a line, now and at each change; an empty line where nothing changed for 5 s."""
    _check_gateway(request, platform)
    return StreamingResponse(_lines(platform), media_type="application/x-ndjson")


@router.post("/usage")
async def usage_report(request: Request, platform: Here) -> Response:
    """A UsageReport; a UsageHeard."""
    _check_gateway(request, platform)
    report = _decoded(_usage, await request.body(), "a report of usage")
    heard = await run_in_threadpool(usage.receive, platform, report)
    return Response(msgspec.json.encode(heard), media_type="application/json")


@router.post("/activity")
async def activity_report(request: Request, platform: Here) -> Response:
    """An ActivityReport."""
    _check_gateway(request, platform)
    report = _decoded(_activity, await request.body(), "a report of activity")
    await run_in_threadpool(sleeping.hear, platform, report)
    return Response()


@router.post("/wake")
async def wake(request: Request, platform: Here) -> Response:
    """A Wake. 404 where there is no such deployment."""
    _check_gateway(request, platform)
    asked = _decoded(_wake, await request.body(), "a call to wake a deployment")
    await run_in_threadpool(sleeping.wake, platform, asked.tenant, asked.name)
    return Response()


@router.post("/runs/{run}/events")
async def events(request: Request, platform: Here, run: str) -> Response:
    """410 tells an attempt that it is not the run's any more."""
    token = _token(request)
    if not token:
        raise Unauthorized("a run's attempt shows its token")
    try:
        said = _events.decode(await request.body())
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"events of a run: {error}") from None
    reply = await run_in_threadpool(run_events.receive, platform, run, token, said)
    return Response(msgspec.json.encode(reply), media_type="application/json")


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes, what: str) -> T:
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"{what}: {error}") from None


def _check_gateway(request: Request, platform: Platform) -> None:
    if not hmac.compare_digest(_token(request).encode(), gateway_token(platform.secret).encode()):
        raise Unauthorized("this is the gateway's alone")


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def _lines(platform: Platform) -> AsyncIterator[bytes]:
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        loop.call_soon_threadsafe(changed.set)

    platform.changes.listen(tell)
    last = b""
    try:
        while not platform.closing.is_set():
            changed.clear()
            line = (
                await run_in_threadpool(snapshots.snapshot, platform)
                if platform.readiness.looked.is_set()
                else b""
            )
            if line != last or not line:
                yield line + b"\n"
                last = line
            while not await _within(changed, _HEARTBEAT):
                yield b"\n"
    finally:
        platform.changes.forget(tell)


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
