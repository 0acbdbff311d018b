"""Connections to all replicas that should be: made, kept, made again, and let go."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable
from typing import Final

from modelyard.serving.link import Link
from modelyard.types.replica import Hello, Statistics

_RETRY: Final = (0.05, 0.1)  # seconds between attempts, drawn anew each time
_HELLO_SECONDS: Final = 5.0
_SWEEP: Final = 0.05


class Line:
    """The way to one address. `digest` is what must serve there; anything else is not used."""

    def __init__(self, address: str, digest: str) -> None:
        self.address = address
        self.digest = digest
        self.link: Link | None = None
        self.counted = Statistics()  # by earlier processes at this address, already in its version's totals
        self._task: asyncio.Task[None] | None = None
        self._changed: Callable[[], None] | None = None

    def listen(self, changed: Callable[[], None]) -> None:
        """`changed` is called whenever the replica can be asked, or can be asked no more."""
        self._changed = changed

    @property
    def hello(self) -> Hello | None:
        """Of the replica, if it can be asked now."""
        return self.link.hello.result() if self.link is not None and self.link.usable else None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self, drain: float = 0.0) -> None:
        """Connect no more; close once nothing is asked any longer, or after `drain` seconds."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        link, self.link = self.link, None
        if link is None:
            return
        until = asyncio.get_running_loop().time() + drain
        while link.outstanding and not link.lost.done() and asyncio.get_running_loop().time() < until:
            await asyncio.wait([link.lost], timeout=_SWEEP)
            link.sweep(asyncio.get_running_loop().time())  # the fleet knows it no longer
        link.close()

    async def _keep(self) -> None:
        while True:
            link = await self._connect()
            if link is not None:
                self.link = link
                self._tell()
                await asyncio.wait([link.lost])
                self.link = None
                self._tell()
            await asyncio.sleep(random.uniform(*_RETRY))

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed()

    async def _connect(self) -> Link | None:
        loop = asyncio.get_running_loop()
        kind, _, rest = self.address.partition(":")
        link = Link(loop)
        try:
            if kind == "unix":
                await loop.create_unix_connection(lambda: link, rest)
            else:
                host, _, port = rest.rpartition(":")
                await loop.create_connection(lambda: link, host, int(port))
            await asyncio.wait([link.hello], timeout=_HELLO_SECONDS)
        except (OSError, ValueError, OverflowError):
            return None
        except asyncio.CancelledError:
            link.close()
            raise
        if link.hello.done() and not link.hello.cancelled() and link.hello.result().digest == self.digest:
            return link
        link.close()
        return None


class Fleet:
    """Lines by address and digest. `keep` makes it as the snapshot says."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], Line] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    def line(self, address: str, digest: str) -> Line:
        """The line there; a new one starts to connect at once."""
        line = self._lines.get((address, digest))
        if line is None:
            line = self._lines[address, digest] = Line(address, digest)
            line.start()
        return line

    def keep(self, wanted: Iterable[Line], drain: float) -> None:
        """Let every other line finish what it was asked, and go."""
        kept = {(line.address, line.digest) for line in wanted}
        for key in [key for key in self._lines if key not in kept]:
            task = asyncio.get_running_loop().create_task(self._lines.pop(key).stop(drain))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def stop(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        self.keep((), 0.0)
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP)
            for line in self._lines.values():
                if line.link is not None:
                    line.link.sweep(loop.time())
