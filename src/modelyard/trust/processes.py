"""The processes of a sandbox, seen from outside: which they are, how all of them are ended, and when they have."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

LINUX: Final = sys.platform == "linux"
OWN: Final = 2  # bubblewrap, and the first process inside
_EMPTYING: Final = 5.0  # seconds for the kernel to end what is in a sandbox


def tree(pid: int, most: int | None = None) -> list[int]:
    """A process and all that came from it and are still its, as far as they can be seen; no more than `most` and
    a few: among processes that fork, to see all takes longer than they take to be more."""
    if not LINUX:
        return _tree_elsewhere(pid)
    found, new = [pid], [pid]
    while new and (most is None or len(found) <= most):
        parents, new = new, []
        for parent in parents:
            new += children(parent)
            if most is not None and len(found) + len(new) > most:
                break
        found += new
    return found


def kill_tree(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL. In a sandbox the kernel ends all that is in it with its first process, and bubblewrap ends then;
    without one, the group and the children that can be seen are ended."""
    alive = process.poll() is None
    boxed = alive and in_bubblewrap(process.pid) and children(process.pid)
    for pid in boxed or (tree(process.pid) if alive else []):
        with suppress(ProcessLookupError, PermissionError):
            if boxed:
                serve_first(pid)  # it has to run once more to end, and to end the others
            os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        if not boxed and os.getpgrp() != process.pid:
            os.killpg(process.pid, signal.SIGKILL)  # which may be left when its leader has ended


def read_first(process: "subprocess.Popen[bytes]") -> tuple[int, int] | None:
    """The first process inside and the number of its namespace, as bubblewrap has said them."""
    info = getattr(process, "info", None)
    with suppress(BlockingIOError, ValueError, KeyError):
        if info is not None:
            said = json.loads(os.read(info, 4096))
            return int(said["child-pid"]), int(said["pid-namespace"])
    return None


def await_end(pid: int, namespace: int) -> None:
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


def first_inside(pid: int) -> list[int]:
    """The command's own process: the child of bubblewrap's child; without bubblewrap the process itself."""
    if not in_bubblewrap(pid):
        return [pid]
    return [inner for first in children(pid) for inner in children(first)[:1]]


def in_bubblewrap(pid: int) -> bool:
    try:
        return LINUX and Path(f"/proc/{pid}/comm").read_text().strip() == "bwrap"
    except OSError:
        return False


def children(pid: int) -> list[int]:
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


def serve_first(pid: int) -> None:
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(pid, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


@contextmanager
def served_first() -> Iterator[None]:
    """Before all that computes, where we may say so (as root, whose processes the kernel does not count): among
    thousands of processes that fork, who is to end them would wait for his turn too long."""
    try:
        before = os.sched_getscheduler(0), os.sched_getparam(0)
    except (AttributeError, OSError):
        yield
        return
    try:
        serve_first(0)
        yield
    finally:
        os.sched_setscheduler(0, *before)


def ended_within(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
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
