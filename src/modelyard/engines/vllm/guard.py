"""The process between a replica and vLLM: it ends vLLM with all that vLLM started when the replica is gone.

    guard.py GRACE FOLDER COMMAND...

Its standard input is a pipe that the replica holds: the end of the pipe is the end of the replica, however it came.
A process group of the replica's own would not do: whoever kills the replica alone would leave the GPUs taken.
Then it removes FOLDER, where the command's socket was. Standard library only; it is run by its path. Exit
status: the command's, or 128 and its signal.
"""

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from typing import Final

_PAUSE: Final = 0.02  # seconds


def main(grace: float, folder: str, command: list[str]) -> int:
    woken, waker = os.pipe()
    for end in (woken, waker):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)  # what came is read from the pipe
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=_end_with_guard)
    _wait(child.pid, woken)
    _end(child.pid, grace)
    status = child.wait()
    shutil.rmtree(folder, ignore_errors=True)
    return status if status >= 0 else 128 - status


def _wait(pid: int, woken: int) -> None:
    """Until the command has ended, the replica has, or a signal says to end."""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while not _ended(pid):
            for key, _ in selector.select():
                read = os.read(key.fd, 512)
                if (key.fd == 0 and not read) or {signal.SIGTERM, signal.SIGINT} & set(
                    read if key.fd else b""
                ):
                    return


def _end(group: int, grace: float) -> None:
    """SIGTERM, then SIGKILL to whoever is left. The command is not reaped before, so that its number stays its."""
    deadline = time.monotonic() + grace
    if not _ended(group):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)
    while not _ended(group) and time.monotonic() < deadline:
        time.sleep(_PAUSE)
    with contextlib.suppress(
        ProcessLookupError, PermissionError
    ):  # EPERM: only the dead are left in it (macOS)
        os.killpg(group, signal.SIGKILL)


def _ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_with_guard() -> None:
    """For a guard that is killed: prctl(2), PR_SET_PDEATHSIG. Safe here: the guard has one thread."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2], sys.argv[3:]))
