"""What the gateway adds, piece by piece: a gateway whose way to the replica leads through here.

Asking a replica directly and through the gateway, in turn, shows all that the gateway costs, but an engine's own
times vary by more than that as soon as it has several prompts to read. Here one clock sees the same piece on both
sides of the gateway: when the replica has said it, and when the caller has it.
"""

import asyncio
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import llm_load
import msgspec
from llm_load import EVENT, Questions, Reading, Shape, Target
from serving_servers import free_port

from modelyard.home import Home
from modelyard.serving import frames
from modelyard.serving.frames import Kind, Parser
from modelyard.types.route import Snapshot

_ROOM = 2 * frames.MAX_FRAME


@dataclass
class Seen:
    """One request on the replica's side of the gateway; times of the monotonic clock."""

    asked: float = 0.0
    events: list[float] = field(default_factory=list)


class Tap:
    """Passes bytes on at once, and looks at the frames afterwards. `seen` is by the request's body."""

    def __init__(self, replica: str) -> None:
        self.seen: dict[bytes, Seen] = {}
        self._replica = replica
        self._by_number: dict[int, Seen] = {}

    async def listen(self, path: str) -> asyncio.Server:
        return await asyncio.get_running_loop().create_unix_server(lambda: _Side(self._asked, self), path)

    def connected(self, side: "_Side") -> None:
        loop = asyncio.get_running_loop()
        other = _Side(self._answered)
        side.other, other.other = other, side
        side.waits = loop.create_task(loop.create_unix_connection(lambda: other, self._replica))

    def _asked(self, frame: frames.Frame, now: float) -> None:
        if frame.kind == Kind.REQUEST:
            body = bytes(frames.read_request(frame.payload).body)
            self._by_number[frame.id] = self.seen[body] = Seen(asked=now)

    def _answered(self, frame: frames.Frame, now: float) -> None:
        seen = self._by_number.get(frame.id)
        if frame.kind == Kind.PART and seen is not None:
            seen.events += [now] * frames.read_part(frame.payload).body.count(EVENT)


class _Side(asyncio.Protocol):
    """One of the two connections; `other` is where its bytes go."""

    def __init__(self, look: Any, tap: Tap | None = None) -> None:
        self.other: _Side | None = None
        self.waits: asyncio.Task[Any] | None = None
        self._look, self._tap = look, tap
        self._parser = Parser(_ROOM)
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.writelines(self._early)
        if self._tap is not None:
            self._tap.connected(self)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if self.other is not None:
            self.other.write(data)
        for frame in self._parser.feed(data):
            self._look(frame, now)

    def write(self, data: bytes) -> None:
        if self._transport is None:
            self._early.append(data)
        else:
            self._transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None and self.other._transport is not None:
            self.other._transport.close()


@asynccontextmanager
async def gateway(home: Home, deployment: str, key: str) -> AsyncIterator[tuple[Tap, Target]]:
    """A gateway of its own, which knows the platform's keys, before the platform's replica."""
    with tempfile.TemporaryDirectory(prefix="tap-") as folder:
        own = Home(folder)
        own.create()
        snapshot = msgspec.json.decode(home.gateway_snapshot.read_bytes(), type=Snapshot)
        route = next(route for route in snapshot.routes if route.name == deployment)
        (version,) = route.versions
        tap, at = Tap(version.replicas[0].removeprefix("unix:")), str(Path(folder) / "tap")
        listener = await tap.listen(at)
        version = msgspec.structs.replace(version, replicas=(f"unix:{at}",))
        snapshot = msgspec.structs.replace(
            snapshot, routes=(msgspec.structs.replace(route, versions=(version,)),)
        )
        own.gateway_snapshot.write_bytes(msgspec.json.encode(snapshot))
        port = free_port()
        process = _start(own, port)
        target = Target(url=f"http://127.0.0.1:{port}", model=deployment, key=key)
        try:
            await llm_load.ready(target)
            yield tap, target
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 30)
            listener.close()


def _start(home: Home, port: int) -> subprocess.Popen[bytes]:
    """It finds no control, and goes on with the snapshot that it has."""
    argv = [sys.executable, "-m", "modelyard.gateway", "--port", str(port), "--home", str(home.root)]
    argv += ["--control-url", f"http://127.0.0.1:{free_port()}"]
    env = {**os.environ, "YARD_GATEWAY_TOKEN": secrets.token_hex(16)}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(argv, env=env, stdout=quiet, stderr=quiet)


async def measure(
    tap: Tap, target: Target, questions: Questions, shape: Shape, *, streams: int, answers: int
) -> dict[str, Any]:
    """Milliseconds at the median: to the first token (the way there and the way back), and of each piece (back)."""
    asked: list[tuple[bytes, Reading]] = []

    async def ask() -> Reading:
        body = questions.body(target.model, shape)
        reading = await llm_load.ask(target, body)
        asked.append((body, reading))
        return reading

    await llm_load.closed_loop(ask, streams, answers)
    firsts, pieces = [], []
    for body, reading in asked:
        seen, times = tap.seen[body], _times(reading)
        late = [1e3 * (there - here) for here, there in zip(seen.events, times, strict=True)]
        firsts.append(1e3 * (seen.asked - reading.began) + late[0])
        pieces += late
    return {
        "first_ms": statistics.median(firsts),
        "piece_ms": statistics.median(pieces),
        "piece_p99_ms": statistics.quantiles(pieces, n=100)[98],
        "answers": len(asked),
        "pieces": len(pieces),
    }


def _times(reading: Reading) -> list[float]:
    """When the caller had each event."""
    found: list[float] = []
    for at, events in reading.marks:
        found += [at] * (events - len(found))
    return found
