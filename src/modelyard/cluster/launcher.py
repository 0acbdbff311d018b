"""The launcher: it owns every process of a platform, and knows nothing of models.

Its table is on disk at each change, so that after a `kill -9` a new launcher adopts what lives and starts
what is missing. One launcher holds a home (flock); what one that died left is adopted or ended by the next.
"""

import argparse
import asyncio
import fcntl
import hashlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any

from modelyard.cluster import table
from modelyard.cluster.identity import marked
from modelyard.cluster.logs import keep_bounded
from modelyard.cluster.platform import CONTROL, GATEWAY, OWN, own_specs, read_config
from modelyard.cluster.process import Supervised
from modelyard.cluster.server import Server
from modelyard.errors import Conflict, InvalidInput, ModelyardError
from modelyard.home import Home
from modelyard.types.process import ProcessSpec, Table

log = logging.getLogger(__name__)


class Launcher:
    """`own` are the processes that it keeps by itself; `apply` says what else should be. `marker` begins the
    mark (identity.MARKER) in the environment of all that it starts."""

    def __init__(self, home: Home, own: Iterable[ProcessSpec]) -> None:
        self.home = home
        self._own = {s.id: s for s in own}
        self._desired = dict(self._own)
        self._processes: dict[str, Supervised] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._watchers: set[asyncio.Event] = set()
        self._stop_asked = asyncio.Event()
        self._frozen: Table | None = None
        self._dirty = False
        self.marker = hashlib.sha256(os.fsencode(home.root)).hexdigest()[:16]

    @property
    def table(self) -> Table:
        """What is. While everything is being stopped, what was: nobody is to take those ends for failures."""
        if self._frozen:
            return self._frozen
        processes = tuple(p.status for p in self._processes.values())
        return Table(launcher_pid=os.getpid(), processes=processes)

    async def run(self, ready: Callable[[], None] | None = None) -> None:
        """Hold the home until `stop`. Raises Conflict where another launcher holds it."""
        self.home.create()
        with _lock(self.home):
            self._adopt()
            server = Server(self, self.home.launcher_socket)
            logs = asyncio.create_task(keep_bounded(self.home.logs), name="logs")
            try:
                self._reconcile()
                await server.start()
                if ready:
                    ready()
                await self._stop_asked.wait()
            finally:
                logs.cancel()
                await self._stop_all()
                await server.close()
                self.home.remove_sockets()

    def stop(self) -> None:
        """Begin to stop everything; asked a second time, without grace."""
        if self._stop_asked.is_set():
            for process in self._processes.values():
                process.kill()
        self._stop_asked.set()

    def apply(self, specs: tuple[ProcessSpec, ...]) -> None:
        """Make these the processes that should be, besides the own ones. Raises InvalidInput."""
        _check(specs, self._own)
        if not self._stop_asked.is_set():
            self._desired = self._own | {s.id: s for s in specs}
            self._reconcile()

    def watch(self) -> asyncio.Event:
        """An event that is set at each change of the table, until `unwatch`."""
        event = asyncio.Event()
        self._watchers.add(event)
        return event

    def unwatch(self, event: asyncio.Event) -> None:
        self._watchers.discard(event)

    def _adopt(self) -> None:
        """Take over what the last launcher kept; end what lives of this home and stands in no table."""
        for record in table.load(self.home.launcher_table):
            alive = record.identity is not None and record.identity.alive()
            changed = self._own.get(record.spec.id, record.spec) != record.spec
            if not alive and (changed or self._stop_asked.is_set()):
                continue
            self._make(record.spec).adopt(record)  # a changed one is ended, then started anew, by _reconcile
            self._desired.setdefault(record.spec.id, record.spec)
        _end_strays(f"{self.marker}/", {p.status.pid for p in self._processes.values()})

    def _make(self, spec: ProcessSpec) -> Supervised:
        process = Supervised(spec, f"{self.marker}/{spec.id}", self._change)
        self._processes[spec.id] = process
        return process

    def _reconcile(self) -> None:
        for spec in self._desired.values():
            if spec.id not in self._processes:
                self._make(spec).start()
        for process in list(self._processes.values()):
            if not process.stopping and self._desired.get(process.spec.id) != process.spec:
                self._background(self._drop(process))

    async def _drop(self, process: Supervised) -> None:
        await process.stop()
        if self._stop_asked.is_set():
            return
        del self._processes[process.spec.id]
        self._change()
        self._reconcile()

    async def _stop_all(self) -> None:
        """The gateway first, so that nothing new comes in; then the work; control last, to hear of it."""
        self._frozen = self.table
        self._stop_asked.set()
        first = [p for p in self._processes.values() if p.spec.id == GATEWAY]
        work = [p for p in self._processes.values() if p.spec.id not in OWN]
        last = [p for p in self._processes.values() if p.spec.id == CONTROL]
        for group in (first, work, last):
            await asyncio.gather(*(p.stop() for p in group))
        await asyncio.gather(*self._tasks)
        self._processes.clear()
        self.home.launcher_table.unlink(missing_ok=True)

    def _change(self) -> None:
        """Note a change; what changes in one turn of the loop is written once."""
        if not self._dirty:
            self._dirty = True
            asyncio.get_running_loop().call_soon(self._publish)

    def _publish(self) -> None:
        self._dirty = False
        if self._frozen and not self._processes:
            return
        table.save(self.home.launcher_table, [p.record for p in self._processes.values()])
        if self._frozen is None:
            for event in self._watchers:
                event.set()

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def main(arguments: list[str] | None = None) -> int:
    """`python -m modelyard.cluster.launcher`."""
    parser = argparse.ArgumentParser(prog="modelyard.cluster.launcher", description=__doc__)
    parser.add_argument("--home", required=True)
    parser.add_argument("--adopt", action="store_true", help="take the place of a launcher that died; "
                        "end quietly where another has already done so")  # fmt: skip
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(supervise(Home(options.home)))
    except Conflict as error:
        log.info("%s", error)
        return 0 if options.adopt else 1
    except ModelyardError as error:
        log.error("%s", error)
        return 1
    return 0


async def supervise(home: Home, ready: Callable[[Launcher], None] | None = None) -> None:
    """Launch the platform of `home` and stay until it is stopped by SIGTERM, SIGINT or a Stop."""
    home.create()
    launcher = Launcher(home, own_specs(home, read_config(home)))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, launcher.stop)
    await launcher.run(lambda: ready(launcher) if ready else None)


async def end_leftovers(home: Home) -> None:
    """End what a launcher that died has left behind. Raises Conflict where a launcher lives."""
    launcher = Launcher(home, ())
    launcher.stop()
    await launcher.run()


class _lock:
    """The home's lock, for as long as the block runs."""

    def __init__(self, home: Home) -> None:
        self._path = home.state / "launcher.lock"

    def __enter__(self) -> None:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise Conflict("another launcher already runs for this home") from None

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _check(specs: tuple[ProcessSpec, ...], own: dict[str, ProcessSpec]) -> None:
    seen: set[str] = set()
    for spec in specs:
        if spec.id in own or spec.id in seen or not spec.argv:
            raise InvalidInput("a process needs an id of its own and a command", came=spec.id)
        seen.add(spec.id)


def _end_strays(marker: str, known: set[int | None]) -> None:
    """End what a launcher started without living to write it down, and what leaders that ended left."""
    for pid, session in marked(marker):
        if pid != os.getpid() and session not in known and pid not in known:
            log.warning("ending process %d, which an earlier launcher left behind", pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
