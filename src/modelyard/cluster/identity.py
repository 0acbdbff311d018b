"""Which process a pid means. A pid is given again after its process has ended, so a pid alone names nothing:
with the time at which the kernel started it (proc(5), /proc/PID/stat field 22) and the boot it does."""

import os
import sys
from functools import cache
from pathlib import Path

from msgspec import Struct

MARKER = "YARD_PROCESS"  # in the environment of everything that a launcher starts

_LINUX = sys.platform == "linux"


class Identity(Struct, frozen=True, kw_only=True):
    """A process, told apart from a later one with the same pid."""

    pid: int
    started: str

    def alive(self) -> bool:
        """Whether this very process lives; one that has ended and waits for its parent does not."""
        return identify(self.pid) == self


def identify(pid: int) -> Identity | None:
    """The identity of a living process, or None."""
    started = _started_linux(pid) if _LINUX else _started_elsewhere(pid)
    return None if started is None else Identity(pid=pid, started=started)


def marked(marker: str) -> list[tuple[int, int]]:
    """(pid, session) of every living process of this user whose MARKER begins with `marker`.

    The marker is inherited, so the children of a supervised process carry it too: the session
    tells them apart.
    """
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER, "").startswith(marker):
                found.append((process.pid, os.getsid(process.pid)))
        except (psutil.Error, ProcessLookupError, PermissionError, OSError):
            continue  # another user's, or gone while it was read: neither is one of ours that lives
    return found


def _started_linux(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()  # the name in parentheses may hold anything, spaces too
    state, ticks = fields[0], fields[19]
    return None if state in (b"Z", b"X") else f"{_boot()}:{int(ticks)}"


def _started_elsewhere(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.Error:
        return None


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
