"""`python -I -m modelyard.trust.monitor --limits JSON [--fault-file FILE] [--listen SOCKET] -- COMMAND...`: stands
before a sandbox that nobody else watches, as a replica's.

SIGTERM and SIGINT are passed on to the code inside, and its status is this process's; so is the signal that ended
it. When this process is killed, the kernel ends the sandbox (PR_SET_PDEATHSIG).
"""

import argparse
import json
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final

from modelyard.files import write_atomic
from modelyard.trust.sandbox import FAULT_FD, SOCKET_FD, Boxed, Limits, Sandbox
from modelyard.trust.watch import Ended, Watch

EXIT_LIMIT: Final = 75  # EX_TEMPFAIL
_FAULT_LIMIT: Final = 64 << 10
_log = logging.getLogger(__name__)


def main() -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
    options = _options()
    asked = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)
    reading = _open_fault()
    inode = _bind(options.listen) if options.listen is not None else 0
    passed = (FAULT_FD, *([SOCKET_FD] if options.listen else []))
    process = Boxed(options.command, env={}, pass_fds=passed)
    for descriptor in passed:
        os.close(descriptor)  # else it would stay open when those inside have closed theirs
    ended = _follow(Watch(process, _box(options.limits)), asked)
    if options.listen is not None:
        _unbind(options.listen, inode)
    return _end(ended, reading, options.fault_file)


def _box(text: str) -> Sandbox:
    """As much of it as is watched."""
    kept = json.loads(text)
    write = tuple(Path(path) for path in kept.pop("write"))
    return Sandbox(cwd=Path("/"), write=write, limits=Limits(**kept))


def _open_fault() -> int:
    """A pipe whose writing end is FAULT_FD; the reading one."""
    reading, writing = os.pipe()
    os.dup2(writing, FAULT_FD)
    os.close(writing)
    os.set_blocking(reading, False)
    return reading


def _bind(path: Path) -> int:
    """Bind SOCKET_FD, which does not listen yet: who can connect can be answered. The socket's inode."""
    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(os.fspath(path))
            os.dup2(s.fileno(), SOCKET_FD)
    finally:
        os.umask(mask)
    return path.stat().st_ino


def _unbind(path: Path, inode: int) -> None:
    with suppress(FileNotFoundError):
        if path.stat().st_ino == inode:  # else a successor has taken the name already
            path.unlink()


def _follow(watch: Watch, asked: threading.Event) -> Ended:
    """SIGTERM goes in again and again: at first there may be nobody inside who hears it."""
    while (ended := watch.wait(0.1)) is None:
        if asked.is_set():
            watch.terminate()
    return ended


def _end(ended: Ended, reading: int, fault_file: Path | None) -> int:
    """Leave word of why, and end as it did."""
    fault = _read_fault(reading) if ended.passed is None else ended.passed.error().to_dict()
    if fault is not None and fault_file is not None:
        write_atomic(fault_file, json.dumps(fault).encode())
    if ended.passed is not None:
        _log.error("%s", json.dumps({"event": "failure", **ended.passed.error().to_dict()}))
        return EXIT_LIMIT
    number = -ended.code if ended.code < 0 else ended.code - 128
    if number in set(signal.Signals):
        signal.signal(number, signal.SIG_DFL) if number not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), number)
    return ended.code


def _read_fault(reading: int) -> dict[str, str] | None:
    """What the code inside said, where it has the form of a fault: it may say what it likes."""
    with suppress(BlockingIOError, ValueError):
        said = json.loads(os.read(reading, _FAULT_LIMIT))
        if isinstance(said, dict) and all(isinstance(said.get(key), str) for key in ("code", "message")):
            return {"code": said["code"], "message": said["message"]}
    return None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="modelyard.trust.monitor")
    parser.add_argument("--limits", required=True)
    parser.add_argument("--fault-file", type=Path)
    parser.add_argument("--listen", type=Path)
    own, command = sys.argv[1:], list[str]()
    if "--" in own:
        place = own.index("--")
        own, command = own[:place], own[place + 1 :]
    return parser.parse_args(own, argparse.Namespace(command=command))


if __name__ == "__main__":
    sys.exit(main())
