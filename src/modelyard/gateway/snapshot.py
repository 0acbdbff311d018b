"""What the gateway knows: the snapshot that control streams, and the last one, kept on disk for when it
does not."""

import asyncio
import json
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httptools
import msgspec

from modelyard.files import write_atomic
from modelyard.types.route import Snapshot

_SILENCE: Final = 15.0  # seconds; control writes at least a blank line every 5
_LINE: Final = 64 << 20
_PAUSES: Final = (0.05, 2.0)  # seconds before the next attempt: the first, the longest

_log = logging.getLogger(__name__)


def load(path: Path) -> Snapshot | None:
    """The snapshot kept on disk, or None where there is none that can be read."""
    try:
        return _read(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _log.warning("%s", json.dumps({"event": "snapshot_unreadable", "error": type(error).__name__}))
        return None


def _read(line: bytes) -> Snapshot:
    """Raises ValueError where it is no snapshot."""
    snapshot = msgspec.json.decode(line, type=Snapshot)
    bytes.fromhex(snapshot.secret)
    return snapshot


class Follower:
    """Follows GET /internal/snapshots for ever. `apply` gets every snapshot; then it is kept, if it can be: a
    full disk must not hold up a key's end."""

    def __init__(self, control_url: str, token: str, kept: Path, apply: Callable[[Snapshot], None]) -> None:
        self._url = urlsplit(control_url)
        self._token = token
        self._kept = kept
        self._apply = apply
        self._pause = _PAUSES[0]

    async def run(self) -> None:
        while True:
            try:
                await self._follow()
            except (OSError, ValueError) as error:
                _log.info("%s", json.dumps({"event": "control_away", "error": type(error).__name__}))
            await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))
            self._pause = min(2 * self._pause, _PAUSES[1])

    async def _follow(self) -> None:
        """One connection: raises when it breaks or is silent, returns when control ended it."""
        host, port = self._url.hostname or "127.0.0.1", self._url.port or 80
        async with asyncio.timeout(_SILENCE):
            reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(self._request())
            stream = _Stream(self._take)
            while data := await asyncio.wait_for(reader.read(1 << 20), _SILENCE):
                stream.feed(data)
        finally:
            writer.close()

    def _request(self) -> bytes:
        return (
            f"GET {self._url.path.rstrip('/')}/internal/snapshots HTTP/1.1\r\nHost: {self._url.netloc}\r\n"
            f"Authorization: Bearer {self._token}\r\nConnection: close\r\n\r\n"
        ).encode()

    def _take(self, line: bytes) -> None:
        self._apply(_read(line))
        self._pause = _PAUSES[0]  # it is there
        try:
            write_atomic(self._kept, line, mode=0o600)
        except OSError as error:
            _log.warning("%s", json.dumps({"event": "snapshot_not_kept", "error": type(error).__name__}))


class _Stream:
    """The lines in the body of an HTTP answer, as they come."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._parser = httptools.HttpResponseParser(self)
        self._line = bytearray()

    def feed(self, data: bytes) -> None:
        """Raises ValueError where this is no stream of snapshots."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise ValueError("control's answer cannot be read") from error
        *lines, rest = self._line.split(b"\n")
        self._line = rest
        for line in lines:
            if line.strip():
                self._take(bytes(line))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status != 200:
            raise ValueError(f"control answered {status}")

    def on_body(self, body: bytes) -> None:
        self._line += body
        if len(self._line) > _LINE:
            raise ValueError("a snapshot is too long")
