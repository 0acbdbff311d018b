"""The launcher's side of its socket."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from modelyard.cluster import wire
from modelyard.errors import ModelyardError
from modelyard.types.process import Apply, Stop, Table, Watch

if TYPE_CHECKING:
    from modelyard.cluster.launcher import Launcher


class Server:
    """Follows the commands of any number of connections. Only the owner of the home can connect."""

    def __init__(self, launcher: "Launcher", path: Path) -> None:
        self._launcher, self._path = launcher, path
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()

    async def start(self) -> None:
        self._path.unlink(missing_ok=True)  # the lock is held: a socket that is there has no launcher
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._accept, self._path, limit=wire.LINE_LIMIT)
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Answer those who asked to stop, end the rest, remove the socket."""
        self._stopped.set()
        if self._server is None:
            return
        self._server.close()
        self._path.unlink(missing_ok=True)
        if self._connections:
            _, late = await asyncio.wait(self._connections, timeout=1.0)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(ConnectionError):  # the other side left: nobody to answer
                await self._converse(reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await _line(reader):
            try:
                command = wire.decode_command(line)
                if isinstance(command, Apply):
                    self._launcher.apply(command.processes)
            except msgspec.MsgspecError as error:
                return await _send(writer, wire.Refusal(code="invalid_input", message=str(error)))
            except ModelyardError as error:
                await _send(writer, wire.Refusal(**error.to_dict()))
                continue
            if isinstance(command, Watch):
                return await self._stream(reader, writer)
            if isinstance(command, Stop):
                self._launcher.stop()
                await self._stopped.wait()
                return await _send(writer, Table(launcher_pid=os.getpid(), processes=()))
            await _send(writer, self._launcher.table)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Tables until either side ends."""
        changed = self._launcher.watch()
        ends = {asyncio.create_task(reader.read()), asyncio.create_task(self._stopped.wait())}
        try:
            while not any(e.done() for e in ends):
                changed.clear()
                await _send(writer, self._launcher.table)
                change = asyncio.create_task(changed.wait())
                await asyncio.wait({change, *ends}, return_when=asyncio.FIRST_COMPLETED)
                change.cancel()
        finally:
            self._launcher.unwatch(changed)
            for end in ends:
                end.cancel()


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:  # longer than the limit
        return b""


async def _send(writer: asyncio.StreamWriter, answer: wire.Answer) -> None:
    writer.write(wire.encode(answer))
    await writer.drain()
