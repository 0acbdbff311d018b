"""A replica asked over its own socket, by frames, as the gateway asks it: the rest is the gateway's own cost."""

import asyncio
import time

import msgspec
from llm_load import Ask, Questions, Reading, Shape

from modelyard import dialects
from modelyard.home import Home
from modelyard.serving.frames import MORE
from modelyard.serving.link import Link
from modelyard.types.replica import Hello, Statistics
from modelyard.types.route import Snapshot

_SECONDS = 600.0


class Direct:
    """A connection to one replica."""

    def __init__(self, link: Link) -> None:
        self._link = link
        match = dialects.match("POST", "/v1/completions")
        assert match is not None
        self._head = match.number, match.code, b""

    @property
    def hello(self) -> Hello:
        return self._link.hello.result()

    async def ask(self, body: bytes) -> Reading:
        """See `llm_load.ask`."""
        reading = Reading(began=time.monotonic())
        flow = self._link.open(self._head, [body], len(body), _SECONDS)
        answer = await flow.answer
        if answer.status != 200 or not answer.flags & MORE:
            reading.end(f"{answer.status}: {answer.body[:300].decode(errors='replace')}")
            return reading
        while (pieces := await flow.next()) is not None:
            reading.feed(pieces)
        reading.end()
        return reading

    async def statistics(self) -> Statistics:
        """What the replica has counted by now."""
        await self._link.count()
        return self._link.statistics

    def close(self) -> None:
        self._link.close()


async def connect(home: Home, deployment: str) -> Direct:
    """To the first replica of a deployment that is ready."""
    address = await _address(home, deployment)
    loop = asyncio.get_running_loop()
    _, link = await loop.create_unix_connection(lambda: Link(loop), address)
    await link.hello
    return Direct(link)


async def _address(home: Home, deployment: str) -> str:
    """From the gateway's kept snapshot, which may be a moment behind. Raises RuntimeError."""
    for _ in range(200):
        snapshot = msgspec.json.decode(home.gateway_snapshot.read_bytes(), type=Snapshot)
        for route in snapshot.routes:
            if route.name == deployment and (there := route.versions[0].replicas):
                return there[0].removeprefix("unix:")
        await asyncio.sleep(0.05)
    raise RuntimeError(f"the gateway knows no replica of {deployment!r}")


def asker(direct: Direct, questions: Questions, model: str, shape: Shape) -> Ask:
    """Asks the same shape again and again."""
    return lambda: direct.ask(questions.body(model, shape))
