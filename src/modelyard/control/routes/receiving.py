"""A body that is a file, straight to disk."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Final, Protocol, TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from modelyard.errors import Busy, DeadlineExceeded, InvalidInput, NotAllowedFormat, UnsupportedMedia

_SILENCE_SECONDS: Final = 60.0
_PASSED_OVER: Final = 64 << 20
_PASSED_OVER_SECONDS: Final = 3.0
_PART: Final = 4 << 20  # bytes that are gathered before a thread writes them


class Sink(AbstractContextManager[Any], Protocol):
    """Takes a body's bytes; its end as a context removes what was not kept."""

    def write(self, chunk: bytes, /) -> None: ...


S = TypeVar("S", bound=Sink)


def size_of(request: Request) -> int | None:
    """What the client says. Raises UnsupportedMedia for a body that is encoded."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise UnsupportedMedia("files come as they are", came=encoding, allowed="no Content-Encoding")
    said = request.headers.get("content-length")
    return int(said) if said else None


async def receive(request: Request, begin: Callable[[], S], keep: Callable[[S], None]) -> None:
    """Write the body as it comes; nothing of one that breaks off is kept."""
    writer = await run_in_threadpool(begin)
    stream = request.stream().__aiter__()
    try:
        await _write(stream, writer, keep)
    except (InvalidInput, NotAllowedFormat, Busy):
        await _pass_over(stream)
        raise


async def _write(stream: AsyncIterator[bytes], writer: S, keep: Callable[[S], None]) -> None:
    with writer:
        part = bytearray()
        while (chunk := await _next(stream)) is not None:
            part += chunk
            if len(part) >= _PART:
                await run_in_threadpool(writer.write, bytes(part))
                part.clear()
        await run_in_threadpool(writer.write, bytes(part))
        await run_in_threadpool(keep, writer)


async def _pass_over(stream: AsyncIterator[bytes]) -> None:
    """Read some of what still comes: a connection that is closed on it may lose the answer."""
    left = _PASSED_OVER
    with suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(_PASSED_OVER_SECONDS):
            while left > 0 and (chunk := await anext(stream, None)) is not None:
                left -= len(chunk)


async def _next(stream: AsyncIterator[bytes]) -> bytes | None:
    try:
        async with asyncio.timeout(_SILENCE_SECONDS):
            return await anext(stream, None)
    except TimeoutError:
        raise DeadlineExceeded(f"nothing of the file came for {_SILENCE_SECONDS:g} s") from None
    except ClientDisconnect:
        raise InvalidInput("the upload broke off") from None
