"""Watching a started sandbox: what the kernel does not count for a whole tree is looked at here, again and again,
and the tree is ended when a limit is passed."""

import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from modelyard.errors import DeadlineExceeded, ModelyardError, TooLarge

if TYPE_CHECKING:
    from modelyard.trust.sandbox import Sandbox

PAUSE: Final = 0.1  # seconds between two looks
_EMPTYING: Final = 5.0  # seconds for the kernel to end what is in a sandbox
_DEEPEST: Final = 200  # folders in one another; what lies deeper takes others' tools to remove
_INODE: Final = 512  # bytes that an entry takes besides its content
_DISK_SHARE: Final = 20  # a look at the disk may take one in so many seconds
_LINUX: Final = sys.platform == "linux"


@dataclass(frozen=True, kw_only=True)
class Passed:
    """A limit that was passed: its name in `Limits`, what was found and what is allowed, in its unit."""

    limit: str
    found: float
    allowed: float

    @property
    def message(self) -> str:
        match self.limit:
            case "seconds":
                return f"it ran longer than it may; allowed: {self.allowed:g} s"
            case "processes":
                found = f"came: {self.found:g}; allowed: {self.allowed:g}"
                return f"it started more processes or threads than it may; {found}"
            case "memory_bytes":
                what = "it needed more memory than it may use"
            case _:
                what = "it wrote more to the disk than it may"
        return f"{what}; came: {_mib(self.found)}; allowed: {_mib(self.allowed)}"

    def __str__(self) -> str:
        return self.message

    def error(self) -> ModelyardError:
        """For a caller."""
        return (DeadlineExceeded if self.limit == "seconds" else TooLarge)(self.message)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How it ended: the status (128 + N or -N for signal N), and the limit for which it was ended, if any."""

    code: int
    passed: Passed | None


class Watch:
    """Of a process that `sandbox.start` gave, used by one thread. The clock begins here."""

    def __init__(self, process: "subprocess.Popen[bytes]", box: "Sandbox") -> None:
        self.process, self.limits = process, box.limits
        self.passed: Passed | None = None
        self._write = box.write
        self._began = time.monotonic()
        self._at_first = _written(self._write) if self.limits.disk_bytes is not None else 0
        self._next_look = self._next_disk = 0.0
        self._first: tuple[int, int] | None = None

    def wait(self, timeout: float | None = None) -> Ended | None:
        """Look until it has ended, or until `timeout` seconds have passed: None then."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with _served_first():
            while True:
                left = PAUSE if deadline is None else max(0.0, min(PAUSE, deadline - time.monotonic()))
                if _ended_within(self.process, left):
                    self._await_emptiness()
                    return Ended(code=self.process.wait(), passed=self.passed)
                self.look()
                if deadline is not None and time.monotonic() >= deadline:
                    return None

    def look(self) -> Passed | None:
        """Look, unless that was only just done, and end the tree where a limit is passed."""
        now = time.monotonic()
        if self.passed is None and now >= self._next_look and self.process.poll() is None:
            self._next_look = now + PAUSE * 0.9
            self.passed = self._measure()
            if self.passed is not None:
                self.end()
        return self.passed

    def terminate(self) -> None:
        """SIGTERM to the code inside, which bubblewrap would not pass on."""
        for pid in _first_inside(self.process.pid) if self.process.poll() is None else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def end(self) -> None:
        """End all that is inside, at once; nothing of it lives any more when this returns."""
        kill_tree(self.process)
        self._await_emptiness()

    def _await_emptiness(self) -> None:
        """bubblewrap ends with the command; what the command left is ended by the kernel a moment later, and could
        write until then."""
        if self._first is None:
            self._first = _read_first(self.process)
        if self._first is not None:
            _await_end(*self._first)

    def _measure(self) -> Passed | None:
        limits, spent = self.limits, time.monotonic() - self._began
        if limits.seconds is not None and spent > limits.seconds:
            return Passed(limit="seconds", found=spent, allowed=limits.seconds)
        pids = tree(self.process.pid, limits.processes + _OWN)
        inside = len(pids) - (_OWN if _in_bubblewrap(pids[0]) else 0)
        if inside > limits.processes:
            return Passed(limit="processes", found=inside, allowed=limits.processes)
        if (
            limits.memory_bytes is not None
            and (used := _memory(pids, limits.memory_bytes)) > limits.memory_bytes
        ):
            return Passed(limit="memory_bytes", found=used, allowed=limits.memory_bytes)
        return self._measure_disk(pids)

    def _measure_disk(self, pids: list[int]) -> Passed | None:
        began = time.monotonic()
        if self.limits.disk_bytes is None or began < self._next_disk:
            return None
        written = _written(self._write) - self._at_first + _unlinked(pids)
        self._next_disk = began + max(PAUSE, (time.monotonic() - began) * _DISK_SHARE)
        if written > self.limits.disk_bytes:
            return Passed(limit="disk_bytes", found=written, allowed=self.limits.disk_bytes)
        return None


def _serve_first(pid: int) -> None:
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(pid, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


@contextmanager
def _served_first() -> Iterator[None]:
    """Before all that computes, where we may say so (as root, whose processes the kernel does not count): among
    thousands of processes that fork, who is to end them would wait for his turn too long."""
    try:
        before = os.sched_getscheduler(0), os.sched_getparam(0)
    except (AttributeError, OSError):
        yield
        return
    try:
        _serve_first(0)
        yield
    finally:
        os.sched_setscheduler(0, *before)


def _ended_within(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Without waking up in between, where the kernel can tell of an end (Popen.wait looks every 50 ms)."""
    if process.poll() is not None:
        return True
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return process.returncode is not None
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    finally:
        os.close(descriptor)


_OWN: Final = 2  # bubblewrap, and the first process inside


def tree(pid: int, most: int | None = None) -> list[int]:
    """A process and all that came from it and are still its, as far as they can be seen; no more than `most` and
    a few: among processes that fork, to see all takes longer than they take to be more."""
    if not _LINUX:
        return _tree_elsewhere(pid)
    found, new = [pid], [pid]
    while new and (most is None or len(found) <= most):
        parents, new = new, []
        for parent in parents:
            new += _children(parent)
            if most is not None and len(found) + len(new) > most:
                break
        found += new
    return found


def kill_tree(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL. In a sandbox the kernel ends all that is in it with its first process, and bubblewrap ends then;
    without one, the group and the children that can be seen are ended."""
    alive = process.poll() is None
    boxed = alive and _in_bubblewrap(process.pid) and _children(process.pid)
    for pid in boxed or (tree(process.pid) if alive else []):
        with suppress(ProcessLookupError, PermissionError):
            if boxed:
                _serve_first(pid)  # it has to run once more to end, and to end the others
            os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        if not boxed and os.getpgrp() != process.pid:
            os.killpg(process.pid, signal.SIGKILL)  # which may be left when its leader has ended


def _read_first(process: "subprocess.Popen[bytes]") -> tuple[int, int] | None:
    """The first process inside and the number of its namespace, as bubblewrap has said them."""
    info = getattr(process, "info", None)
    with suppress(BlockingIOError, ValueError, KeyError):
        if info is not None:
            said = json.loads(os.read(info, 4096))
            return int(said["child-pid"]), int(said["pid-namespace"])
    return None


def _await_end(pid: int, namespace: int) -> None:
    """Until the first process of a namespace has ended, which is when all in it have (pid_namespaces(7))."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return  # it is gone
    try:
        if os.stat(f"/proc/{pid}/ns/pid").st_ino == namespace:  # else the number is another's by now
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll(_EMPTYING * 1000)
    except OSError:
        return
    finally:
        os.close(descriptor)


def _first_inside(pid: int) -> list[int]:
    """The command's own process: the child of bubblewrap's child; without bubblewrap the process itself."""
    if not _in_bubblewrap(pid):
        return [pid]
    return [inner for first in _children(pid) for inner in _children(first)[:1]]


def _in_bubblewrap(pid: int) -> bool:
    try:
        return _LINUX and Path(f"/proc/{pid}/comm").read_text().strip() == "bwrap"
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    """proc(5), /proc/PID/task/TID/children."""
    found: list[int] = []
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError), open(f"/proc/{pid}/task/{task}/children", "rb") as f:
                found += map(int, f.read().split())
    return found


def _tree_elsewhere(pid: int) -> list[int]:
    import psutil

    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.Error:
        return [pid]


def _memory(pids: list[int], allowed: int) -> int:
    """Bytes that the tree holds. What processes share is counted once, where it comes to that."""
    if not _LINUX:
        return _memory_elsewhere(pids)
    temporary = _temporary(pids)
    quick = sum(_kibibytes(f"/proc/{pid}/status", (b"RssAnon", b"RssShmem", b"VmSwap")) for pid in pids)
    if quick + temporary <= allowed:
        return quick + temporary
    names = (b"Pss_Anon", b"Pss_Shmem", b"SwapPss")
    return temporary + sum(_kibibytes(f"/proc/{pid}/smaps_rollup", names) for pid in pids)


def _threads(pids: list[int]) -> int:
    total = 0
    for pid in pids if _LINUX else ():
        with suppress(OSError):
            total += len(os.listdir(f"/proc/{pid}/task"))
    return total


def _kibibytes(path: str, names: tuple[bytes, ...]) -> int:
    """The sum of these lines, in bytes."""
    with suppress(OSError), open(path, "rb") as f:
        return sum(int(line.split()[1]) for line in f if line.partition(b":")[0] in names) << 10
    return 0


def _temporary(pids: list[int]) -> int:
    """What lies in the sandbox's /tmp and /dev/shm, which are memory."""
    if len(pids) <= _OWN or not _in_bubblewrap(pids[0]):
        return 0
    used = 0
    for place in ("tmp", "dev/shm"):
        with suppress(OSError):
            found = os.statvfs(f"/proc/{pids[_OWN]}/root/{place}")
            used += (found.f_blocks - found.f_bfree) * found.f_frsize
    return used


def _memory_elsewhere(pids: list[int]) -> int:
    import psutil

    used = 0
    for pid in pids:
        with suppress(psutil.Error):
            used += psutil.Process(pid).memory_info().rss
    return used


def _written(folders: Iterable[Path]) -> float:
    """Bytes on the disk below these folders; links are not followed. More than any limit where folders lie too deep
    in one another."""
    total, waiting = 0, [(os.fspath(folder), 0) for folder in folders]
    while waiting:
        folder, depth = waiting.pop()
        if depth > _DEEPEST:
            return math.inf
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, depth + 1))
                    total += entry.stat(follow_symlinks=False).st_blocks * 512 + _INODE
    return total


def _unlinked(pids: list[int]) -> int:
    """Bytes of open files that have no name any more."""
    sizes: dict[tuple[int, int], int] = {}
    for pid in pids if _LINUX else ():
        with suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    found = os.stat(f"/proc/{pid}/fd/{number}")
                    if found.st_nlink == 0:
                        sizes[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sum(sizes.values())


def _mib(size: float) -> str:
    return f"{size / (1 << 20):.0f} MiB"
