"""Uploads: a raw body, straight to disk."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from modelyard.control.routes.request import Here, Tenant
from modelyard.control.services import uploads
from modelyard.control.services.uploads import UploadView
from modelyard.errors import DeadlineExceeded, InvalidInput, UnsupportedMedia

router = APIRouter(prefix="/api/v1/uploads", tags=["uploads"])
_SILENCE_SECONDS = 60.0
_PART = 4 << 20  # bytes that are gathered before a thread writes them


@router.post("", status_code=201)
async def upload(
    request: Request,
    platform: Here,
    tenant: Tenant,
    filename: Annotated[str, Query(min_length=1, max_length=500)],
) -> UploadView:
    """Keep the body as a file; a data set is made of it later."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMedia("uploads come as they are", came=request.headers["content-encoding"])
    said = request.headers.get("content-length")
    writer = await run_in_threadpool(uploads.begin, platform, tenant, filename, int(said) if said else None)
    with writer:
        part = bytearray()
        stream = request.stream().__aiter__()
        while (chunk := await _next(stream)) is not None:
            part += chunk
            if len(part) >= _PART:
                await run_in_threadpool(writer.write, bytes(part))
                part.clear()
        await run_in_threadpool(writer.write, bytes(part))
        return await run_in_threadpool(uploads.finish, platform, tenant, filename, writer)


async def _next(stream: AsyncIterator[bytes]) -> bytes | None:
    try:
        async with asyncio.timeout(_SILENCE_SECONDS):
            return await anext(stream, None)
    except TimeoutError:
        raise DeadlineExceeded(f"nothing of the upload came for {_SILENCE_SECONDS:g} s") from None
    except ClientDisconnect:
        raise InvalidInput("the upload broke off") from None
