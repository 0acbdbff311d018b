"""The wire: one request to vLLM over its unix socket, and the events of its answer (server-sent events).

A connection for each request: closing it is how vLLM is told to stop, and no pool is tied to an event loop.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import httptools
import msgspec

from modelyard.errors import InvalidInput, ModelyardError, TooLarge, Unavailable

_READ: Final = 1 << 16
_LONGEST: Final = 8 << 20  # bytes of one event, or of an error
_DONE: Final = b"[DONE]"
_REFUSALS: Final = frozenset({400, 404, 413, 422})


class _Answer:
    """What httptools calls."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.complete = False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True

    def events(self) -> list[bytes]:
        """Those that are whole; what is left waits."""
        whole, _, rest = self.body.rpartition(b"\n\n")
        self.body = bytearray(rest)
        lines = (line for line in bytes(whole).split(b"\n") if line.startswith(b"data: "))
        return [line[6:] for line in lines]


async def post(at: Path, key: str, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
    """The events of `POST /v1/completions`. Closing it closes the connection.

    Raises InvalidInput for what vLLM refuses, Unavailable where it breaks off."""
    reader, writer = await _connected(at)
    try:
        writer.write(_request(key, msgspec.json.encode(body)))
        async with contextlib.aclosing(_events(reader)) as events:
            async for event in events:
                if event == _DONE:
                    return
                yield _checked(msgspec.json.decode(event))
        raise Unavailable("vLLM ended an answer too early")
    except (OSError, httptools.HttpParserError, msgspec.DecodeError) as error:
        raise Unavailable("the connection to vLLM broke off", came=type(error).__name__) from error
    finally:
        writer.transport.abort()


async def _connected(at: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_unix_connection(at)
    except OSError as error:
        raise Unavailable("vLLM does not run any more") from error


def _request(key: str, body: bytes) -> bytes:
    head = (
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _events(reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    answer = _Answer()
    parser = httptools.HttpResponseParser(answer)
    while not answer.complete:
        data = await reader.read(_READ)
        if not data:
            raise Unavailable("vLLM broke off an answer")
        parser.feed_data(data)
        if len(answer.body) > _LONGEST:
            raise Unavailable("vLLM's answer has no end")
        if parser.get_status_code() == 200:
            for event in answer.events():
                yield event
    if parser.get_status_code() != 200:
        raise _error(parser.get_status_code(), bytes(answer.body))


def _checked(event: dict[str, Any]) -> dict[str, Any]:
    """An error after the answer has begun is an event of its own."""
    if (error := event.get("error")) is None:
        return event
    code = error.get("code") if isinstance(error, dict) else None
    raise _error(code if isinstance(code, int) else 500, msgspec.json.encode(event))


def _error(status: int, body: bytes) -> ModelyardError:
    """What vLLM says of itself stays in its log; what it says of a request is passed on."""
    if status not in _REFUSALS:
        return Unavailable("vLLM failed", came=f"status {status}")
    try:
        message = str(msgspec.json.decode(body)["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        message = f"status {status}"
    return (TooLarge if status == 413 else InvalidInput)("the engine refused the request", came=message)
