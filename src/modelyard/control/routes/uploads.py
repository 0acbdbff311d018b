"""Uploads: a raw body, straight to disk; large ones in parts that can be sent again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Annotated, Protocol

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from modelyard.control.routes.request import Body, Here, Tenant
from modelyard.control.services import upload_parts, uploads
from modelyard.control.services.upload_parts import UploadSessionView
from modelyard.control.services.uploads import UploadView
from modelyard.errors import DeadlineExceeded, InvalidInput, UnsupportedMedia

router = APIRouter(prefix="/api/v1/uploads", tags=["uploads"])
_SILENCE_SECONDS = 60.0
_PART = 4 << 20  # bytes that are gathered before a thread writes them
_RAW = {"requestBody": {"content": {"application/octet-stream": {}}, "required": True}}


class NewSession(Body):
    """`sha256`: what the whole file must have, in hex."""

    filename: str = Field(min_length=1, max_length=500)
    size: int = Field(le=1 << 60)
    sha256: str | None = None


class Sink(Protocol):
    def write(self, chunk: bytes, /) -> None: ...


@router.post("", status_code=201, openapi_extra=_RAW)
async def upload(
    request: Request,
    platform: Here,
    tenant: Tenant,
    filename: Annotated[str, Query(min_length=1, max_length=500)],
    sha256: Annotated[str | None, Query(pattern="^[0-9a-f]{64}$")] = None,
) -> UploadView:
    """Keep the body as a file; a data set or a model is made of it later."""
    said = _length(request)
    writer = await run_in_threadpool(uploads.begin, platform, tenant, filename, said)
    with writer:
        await _receive(request, writer)
        return await run_in_threadpool(uploads.finish, platform, tenant, filename, writer, sha256)


@router.post("/sessions", status_code=201)
def open_session(platform: Here, tenant: Tenant, body: NewSession) -> UploadSessionView:
    """Begin an upload that comes in parts, and that goes on after a broken connection."""
    return upload_parts.open_session(platform, tenant, body.filename, body.size, body.sha256)


@router.get("/sessions/{session}")
def show_session(platform: Here, tenant: Tenant, session: str) -> UploadSessionView:
    """How much of it is there."""
    return upload_parts.show(platform, tenant, session)


@router.put("/sessions/{session}", openapi_extra=_RAW)
async def put_part(
    request: Request,
    platform: Here,
    tenant: Tenant,
    session: str,
    offset: Annotated[int, Query(ge=0, le=1 << 60)],
) -> UploadSessionView:
    """Add the body, which begins at byte `offset` of the file. What came of a body that broke off is kept."""
    _length(request)
    await run_in_threadpool(upload_parts.show, platform, tenant, session)
    with ExitStack() as stack:
        stack.enter_context(platform.partials.writing(session))
        writer = await run_in_threadpool(upload_parts.begin_part, platform, tenant, session, offset)
        try:
            await _receive(request, writer)
        finally:
            await asyncio.shield(run_in_threadpool(writer.close))
    return await run_in_threadpool(upload_parts.show, platform, tenant, session)


@router.post("/sessions/{session}/finish", status_code=201)
def finish_session(platform: Here, tenant: Tenant, session: str) -> UploadView:
    """Make the upload of it, where all of it is there and its digest is the one that was said."""
    with platform.partials.writing(session):
        return upload_parts.finish(platform, tenant, session)


@router.delete("/sessions/{session}", status_code=204)
def delete_session(platform: Here, tenant: Tenant, session: str) -> None:
    with platform.partials.writing(session):
        upload_parts.delete(platform, tenant, session)


def _length(request: Request) -> int | None:
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMedia("uploads come as they are", came=request.headers["content-encoding"])
    said = request.headers.get("content-length")
    return int(said) if said else None


async def _receive(request: Request, sink: Sink) -> None:
    """The body, in parts that a thread writes while the next one comes."""
    part, writing = bytearray(), None
    stream = request.stream().__aiter__()
    try:
        while (chunk := await _next(stream)) is not None:
            part += chunk
            if len(part) >= _PART:
                if writing is not None:
                    await writing
                writing = asyncio.ensure_future(run_in_threadpool(sink.write, bytes(part)))
                part = bytearray()
    finally:
        if writing is not None:
            await writing
        if part:
            await run_in_threadpool(sink.write, bytes(part))


async def _next(stream: AsyncIterator[bytes]) -> bytes | None:
    try:
        async with asyncio.timeout(_SILENCE_SECONDS):
            return await anext(stream, None)
    except TimeoutError:
        raise DeadlineExceeded(f"nothing of the upload came for {_SILENCE_SECONDS:g} s") from None
    except ClientDisconnect:
        raise InvalidInput("the upload broke off") from None
