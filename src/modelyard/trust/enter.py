"""The way into a sandbox: `python -I -S enter.py SPEC -- COMMAND...` limits itself and becomes bubblewrap.

SPEC is JSON (`sandbox._spec`), or `-` where it is in the variable YARD_BOX of the environment, which the command
does not get. Standard library alone: every millisecond here is one of each sandboxed start. What bubblewrap needs
open is opened here, so that whoever starts this needs no descriptors. bubblewrap itself runs without environment:
the code inside can read the environment of its first process.
"""

import base64
import contextlib
import json
import os
import resource
import signal
import sys
from typing import Any


def main(arguments: list[str]) -> None:
    """Does not return. Raises OSError where the command cannot be started."""
    spec = json.loads(os.environ["YARD_BOX"] if arguments[0] == "-" else arguments[0])
    command = arguments[2:]
    _limit(spec)
    parent = os.environ.get("YARD_PARENT")
    if parent is not None and os.getppid() != int(parent):
        sys.exit(1)  # who started this is gone, and bubblewrap would not hear of it any more
    if spec["bwrap"] is None:
        _end_with_parent()
        os.chdir(spec["cwd"])
        os.execvpe(command[0], command, spec["env"])
    words = [*spec["arguments"]]
    for target, text in spec["files"].items():
        words += ["--file", str(_open(text.encode())), target]
    words += ["--remount-ro", "/", "--seccomp", str(_open(base64.b64decode(spec["seccomp"])))]
    if "YARD_INFO" in os.environ:
        words += ["--info-fd", os.environ["YARD_INFO"]]
    for name, value in spec["env"].items():
        words += ["--setenv", name, value]
    packed = _open(b"".join(os.fsencode(word) + b"\0" for word in words))
    os.execve(spec["bwrap"], [spec["bwrap"], "--args", str(packed), "--", *spec["inside"], *command], {})


def _end_with_parent() -> None:
    """As bubblewrap does it: prctl(2), PR_SET_PDEATHSIG."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _limit(spec: dict[str, Any]) -> None:
    for name, value in spec["rlimits"].items():
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (value, value))
    os.umask(0o077)
    if spec["cpus"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, _processors(spec["cpus"]))
    with contextlib.suppress(OSError):
        os.nice(spec["nice"])
    _count(spec["tasks"])


def _count(most: int) -> None:
    """Let the kernel count processes and threads, in a control group of their own (cgroups(7), pids), where one can
    be made: root is exempt from RLIMIT_NPROC, and what forks without end outruns every watcher."""
    for root in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup"):
        group = f"{root}/modelyard-{os.getpid()}"
        try:
            _forget_empty(root)
            os.mkdir(group)
        except OSError:
            continue
        try:
            for name, value in (("pids.max", most), ("cgroup.procs", os.getpid())):
                with open(f"{group}/{name}", "w") as f:
                    f.write(str(value))
            return
        except OSError:
            with contextlib.suppress(OSError):
                os.rmdir(group)


def _forget_empty(root: str) -> None:
    """Groups of sandboxes that have ended. One that is being made is empty too, but its process is there."""
    for name in os.listdir(root):
        if name.startswith("modelyard-") and not os.path.exists(f"/proc/{name.partition('-')[2]}"):
            with contextlib.suppress(OSError):  # the kernel keeps one that holds a process
                os.rmdir(f"{root}/{name}")


def _processors(wanted: int) -> set[int]:
    """That many of those that we may use; another sandbox gets others."""
    there = sorted(os.sched_getaffinity(0))
    return {there[(os.getpid() + n) % len(there)] for n in range(min(wanted, len(there)))}


def _open(data: bytes) -> int:
    """A descriptor that bubblewrap reads the data from."""
    descriptor = os.memfd_create("sandbox", 0)
    with open(descriptor, "wb", closefd=False) as f:
        f.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


if __name__ == "__main__":
    main(sys.argv[1:])
