"""The other side of the launcher's socket: say what should run, see what runs, stop everything."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from modelyard.cluster import wire
from modelyard.errors import Unavailable, from_dict
from modelyard.types.process import Apply, Command, ProcessSpec, Stop, Table, Watch

NO_LAUNCHER = "no launcher answers for this home"


class Connection:
    """Blocking; one connection a call. Every method raises Unavailable where no launcher answers in time."""

    def __init__(self, path: Path, timeout: float = 10.0) -> None:
        self._path, self._timeout = path, timeout

    def table(self) -> Table:
        """What runs now."""
        return self._ask(Watch(), self._timeout)

    def apply(self, processes: tuple[ProcessSpec, ...]) -> Table:
        """Make these the processes that should be, besides the launcher's own."""
        return self._ask(Apply(processes=processes), self._timeout)

    def stop(self, timeout: float = 60.0) -> Table:
        """Stop everything; returns when it has ended."""
        return self._ask(Stop(), timeout)

    def _ask(self, command: Command, timeout: float) -> Table:
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(timeout)
                s.connect(os.fspath(self._path))
                s.sendall(wire.encode(command))
                with s.makefile("rb") as lines:
                    return _table(lines.readline())
        except OSError as error:
            raise Unavailable(NO_LAUNCHER) from error


class AsyncConnection:
    """For asyncio; one connection a call."""

    def __init__(self, path: Path, timeout: float = 10.0) -> None:
        self._path, self._timeout = path, timeout

    async def apply(self, processes: tuple[ProcessSpec, ...]) -> Table:
        """Make these the processes that should be, besides the launcher's own."""
        return await self._ask(Apply(processes=processes), self._timeout)

    async def table(self) -> Table:
        """What runs now."""
        return await self._ask(Watch(), self._timeout)

    async def stop(self, timeout: float = 60.0) -> Table:
        """Stop everything; returns when it has ended."""
        return await self._ask(Stop(), timeout)

    async def watch(self) -> AsyncIterator[Table]:
        """A table now and at each change; ends when the launcher does."""
        reader, writer = await self._open()
        try:
            writer.write(wire.encode(Watch()))
            while line := await reader.readline():
                yield _table(line)
        except ConnectionError:
            return
        finally:
            writer.close()

    async def _ask(self, command: Command, timeout: float) -> Table:
        reader, writer = await self._open()
        try:
            writer.write(wire.encode(command))
            async with asyncio.timeout(timeout):
                await writer.drain()
                return _table(await reader.readline())
        except (OSError, TimeoutError) as error:
            raise Unavailable(NO_LAUNCHER) from error
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.open_unix_connection(self._path, limit=wire.LINE_LIMIT)
        except (OSError, TimeoutError) as error:
            raise Unavailable(NO_LAUNCHER) from error


def _table(line: bytes) -> Table:
    if not line:
        raise Unavailable(NO_LAUNCHER)
    answer = wire.decode_answer(line)
    if isinstance(answer, wire.Refusal):
        raise from_dict({"code": answer.code, "message": answer.message})
    return answer
