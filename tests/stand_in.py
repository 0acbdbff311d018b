"""A server in the test's own event loop that leaves nothing open."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager


class Accepted(asyncio.Protocol):
    """One connection: `received`, and whether it has `ended`."""

    def __init__(self, greet: Callable[["Accepted"], None]) -> None:
        self.received, self.ended = b"", False
        self._greet = greet

    def connection_made(self, transport):
        self.transport = transport
        self._greet(self)

    def data_received(self, data):
        self.received += data

    def connection_lost(self, exc):
        self.ended = True


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Bounded waiting in an event loop."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (a condition of the code under test has no event)
            await asyncio.sleep(0.001)


Start = Callable[[Callable[[], asyncio.Protocol]], Awaitable[asyncio.Server]]


@asynccontextmanager
async def standing(greet: Callable[[Accepted], None], start: Start) -> AsyncIterator[list[Accepted]]:
    """The connections of the server that `start` starts; `greet` is called with each new one."""
    accepted: list[Accepted] = []

    def accept() -> Accepted:
        accepted.append(Accepted(greet))
        return accepted[-1]

    server = await start(accept)
    try:
        yield accepted
    finally:
        server.close()
        for one in accepted:
            one.transport.abort()
        await until(lambda: all(one.ended for one in accepted))
