"""Launchers of small processes, as processes of their own, for the launcher's tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from modelyard.cluster.connection import Connection
from modelyard.errors import Unavailable
from modelyard.home import Home
from modelyard.types.process import ProcessSpec, ProcessStatus, Table
from waiting import wait_until

SLEEP = "import time; time.sleep(600)"

_LAUNCH = """
import asyncio, signal, sys
from modelyard.cluster.launcher import Launcher
from modelyard.home import Home
from modelyard.types.process import ProcessSpec
import msgspec
home, own = Home(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=list[ProcessSpec])
async def main():
    launcher = Launcher(home, own)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, launcher.stop)
    await launcher.run()
asyncio.run(main())
"""


def spec(home: Home, name: str, code: str = SLEEP, **fields: object) -> ProcessSpec:
    """A Python process that runs `code`."""
    argv = (sys.executable, "-c", code)
    return ProcessSpec(id=name, argv=argv, log=str(home.logs / f"{name}.log"), **fields)  # type: ignore[arg-type]


class Platform:
    """A launcher in a process of its own. Leaving the block ends everything, whatever the test did."""

    def __init__(self, root: Path, *own: str) -> None:
        self.home = Home(root)
        self.home.create()
        self.own = [spec(self.home, name) for name in own or ("control", "gateway")]
        self.connection = Connection(self.home.launcher_socket)
        self.launcher: subprocess.Popen[bytes] | None = None
        self._seen: set[int] = set()

    def __enter__(self) -> "Platform":
        self.launch()
        return self

    def __exit__(self, *_: object) -> None:
        if self.launcher:
            self.launcher.kill()
            self.launcher.wait()
        for pid in self._seen:
            if "YARD_PROCESS=" in _environment(pid):
                os.killpg(pid, signal.SIGKILL)

    def launch(self) -> None:
        argv = [sys.executable, "-c", _LAUNCH, str(self.home.root), msgspec.json.encode(self.own).decode()]
        self.launcher = subprocess.Popen(argv)
        wait_until(lambda: self.table_or_none() and self.table().launcher_pid == self.launcher.pid, 10)

    def kill_launcher(self) -> None:
        assert self.launcher
        self.table()
        self.launcher.kill()
        self.launcher.wait()

    def table(self) -> Table:
        table = self.connection.table()
        self._seen |= {p.pid for p in table.processes if p.pid}
        return table

    def table_or_none(self) -> Table | None:
        try:
            return self.table()
        except Unavailable:
            return None

    def process(self, name: str) -> ProcessStatus | None:
        return next((p for p in self.table().processes if p.id == name), None)

    def pid(self, name: str) -> int:
        """The pid of a running process."""
        process = wait_until(lambda: (p := self.process(name)) and p.phase == "running" and p, 10, name)
        return process.pid or 0


def lives(pid: int) -> bool:
    """Whether a process runs (one that only waits for its parent does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
