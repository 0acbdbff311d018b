"""Watching a started sandbox: what the kernel does not count for a whole tree is looked at here, again and again,
and the tree is ended when a limit is passed."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from modelyard.errors import DeadlineExceeded, ModelyardError, TooLarge
from modelyard.trust.processes import (
    OWN,
    await_end,
    ended_within,
    first_inside,
    in_bubblewrap,
    kill_tree,
    read_first,
    served_first,
    tree,
)
from modelyard.trust.usage import memory, unlinked, written

if TYPE_CHECKING:
    from modelyard.trust.sandbox import Sandbox

PAUSE: Final = 0.1  # seconds between two looks
_DISK_SHARE: Final = 20  # a look at the disk may take one in so many seconds


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
        self._at_first = written(self._write) if self.limits.disk_bytes is not None else 0
        self._next_look = self._next_disk = 0.0
        self._first: tuple[int, int] | None = None

    def wait(self, timeout: float | None = None) -> Ended | None:
        """Look until it has ended, or until `timeout` seconds have passed: None then."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with served_first():
            while True:
                left = PAUSE if deadline is None else max(0.0, min(PAUSE, deadline - time.monotonic()))
                if ended_within(self.process, left):
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
        for pid in first_inside(self.process.pid) if self.process.poll() is None else ():
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
            self._first = read_first(self.process)
        if self._first is not None:
            await_end(*self._first)

    def _measure(self) -> Passed | None:
        limits, spent = self.limits, time.monotonic() - self._began
        if limits.seconds is not None and spent > limits.seconds:
            return Passed(limit="seconds", found=spent, allowed=limits.seconds)
        pids = tree(self.process.pid, limits.processes + OWN)
        inside = len(pids) - (OWN if in_bubblewrap(pids[0]) else 0)
        if inside > limits.processes:
            return Passed(limit="processes", found=inside, allowed=limits.processes)
        if (
            limits.memory_bytes is not None
            and (used := memory(pids, limits.memory_bytes)) > limits.memory_bytes
        ):
            return Passed(limit="memory_bytes", found=used, allowed=limits.memory_bytes)
        return self._measure_disk(pids)

    def _measure_disk(self, pids: list[int]) -> Passed | None:
        began = time.monotonic()
        if self.limits.disk_bytes is None or began < self._next_disk:
            return None
        grown = written(self._write) - self._at_first + unlinked(pids)
        self._next_disk = began + max(PAUSE, (time.monotonic() - began) * _DISK_SHARE)
        if grown > self.limits.disk_bytes:
            return Passed(limit="disk_bytes", found=grown, allowed=self.limits.disk_bytes)
        return None


def _mib(size: float) -> str:
    return f"{size / (1 << 20):.0f} MiB"
