"""A sandbox for code that is not ours: bubblewrap's namespaces, a seccomp filter, and limits.

Code inside sees the system's libraries and the platform's Python read-only, the folders that it is given, a /tmp
of its own, and nothing else: no home of the platform, no other process, no network, no privileges. See
docs/isolation.md for what that holds back and what it does not.

Where there is no bubblewrap, only the limits are kept (`kind` says "rlimits"), and `demand` refuses to run what
is not trusted.
"""

import base64
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any, Final, Literal

from modelyard.errors import Unavailable
from modelyard.trust import seccomp
from modelyard.trust.limits import Limits as Limits
from modelyard.trust.view import FILES, OUTSIDE, arguments, environment
from modelyard.trust.watch import Watch as Watch

Kind = Literal["bubblewrap", "rlimits"]
Stream = int | IO[Any] | None

_INSTALL: Final = "install bubblewrap (apt-get install bubblewrap)"
_ALLOW: Final = (
    "let bubblewrap make user namespaces (sysctl user.max_user_namespaces; on Ubuntu an AppArmor profile "
    "for bwrap; in a container its seccomp profile)"
)
SOCKET_FD: Final = 10
FAULT_FD: Final = 11
_NICE: Final = 5  # the platform's own processes come first, the one that watches too
_PROBE_SECONDS: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """What code inside sees.

    read     seen read-only, at their own paths; what is not there is an error
    write    seen and written, at their own paths
    hide     laid empty over what would be seen otherwise, before `read` and `write`
    cwd      where it starts; one of the folders above, or below one
    env      the whole environment, besides a safe base
    network  the machine's network, its loopback too; without it there is a loopback of its own alone
    """

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    hide: tuple[Path, ...] = ()
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    network: bool = False
    limits: Limits = field(default_factory=Limits)


def kind() -> Kind:
    """What isolation there is on this machine."""
    return "rlimits" if lacking() else "bubblewrap"


def demand(allow_unsandboxed: bool = False) -> None:
    """Raises Unavailable where code that is not trusted cannot be isolated and nobody has allowed it to run so."""
    lack = lacking()
    if lack and not allow_unsandboxed:
        raise Unavailable(
            f"this needs a sandbox, and {lack}; {remedy()}, or start the platform with --allow-unsandboxed "
            'to run it without one ("allow_unsandboxed": true in config.json)'
        )


def remedy() -> str:
    """What to do where there is no sandbox."""
    if sys.platform != "linux" or not seccomp.supported(platform.machine()):
        return "run the platform on Linux (x86_64 or aarch64)"
    return _INSTALL if _bubblewrap() is None else _ALLOW


@cache
def lacking() -> str | None:
    """Why there is no sandbox here, or None where there is one. Tried once for each process."""
    if sys.platform != "linux":
        return f"there is none on {platform.system()}"
    if not seccomp.supported(platform.machine()):
        return f"there is none for {platform.machine()}"
    if _bubblewrap() is None:
        return "bubblewrap is not installed"
    box = Sandbox(cwd=Path("/"))
    try:
        tried = subprocess.run(
            _words(_spec(box, "bubblewrap"), ["/bin/sh", "-c", ":"]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not work here ({type(error).__name__})"
    said = tried.stderr.decode(errors="replace").strip().splitlines()
    return (
        None
        if tried.returncode == 0
        else f"bubblewrap does not work here ({(said or ['it says nothing'])[-1]})"
    )


def command(argv: Sequence[str], box: Sandbox) -> list[str]:
    """What to start in the place of `argv` so that it runs in the box. No descriptors are needed, and no
    environment.

    The first process becomes bubblewrap: it ends with the command's status (128 + N for signal N), and when it is
    killed all that is inside ends. It does not pass signals on, and watches no limit: see `watch.Watch`, and
    `watched`. `box.env` can be read in the list of processes; `start` hides it.
    """
    return _words(_spec(box, kind()), argv)


def watched(
    argv: Sequence[str], box: Sandbox, *, fault_file: Path | None = None, listen: Path | None = None
) -> list[str]:
    """The same with a process before it that watches the limits and passes SIGTERM on to the code inside. Where a
    limit is passed, all is ended and `fault_file` says which; it also gets what the code inside writes into
    descriptor FAULT_FD. A unix socket that is bound to `listen` is its descriptor SOCKET_FD: it can listen without
    seeing where.

    When the watching process is killed, what is inside ends with it.
    """
    words = [sys.executable, "-I", "-m", "modelyard.trust.monitor"]
    words += ["--limits", json.dumps(_limits_of(box))]
    words += ["--fault-file", str(fault_file)] if fault_file else []
    words += ["--listen", str(listen)] if listen else []
    return [*words, "--", *command(argv, box)]


def start(
    argv: Sequence[str], box: Sandbox, *, stdout: Stream, stderr: Stream, pass_fds: Sequence[int] = ()
) -> "subprocess.Popen[bytes]":
    """Start `argv` in the box, in a session of its own, with empty standard input. Give it to a `watch.Watch`.

    It ends with the thread that started it (prctl(2), PR_SET_PDEATHSIG), so start it from one that waits for it.
    """
    return Boxed(
        _words("-", argv),
        stdout=stdout,
        stderr=stderr,
        env={"YARD_BOX": _spec(box, kind())},
        pass_fds=pass_fds,
        start_new_session=True,
    )


class Boxed(subprocess.Popen[bytes]):
    """A process that becomes bubblewrap. `info` is a descriptor on which it says what it has made."""

    def __init__(
        self, argv: list[str], *, env: Mapping[str, str], pass_fds: Sequence[int], **rest: Any
    ) -> None:
        self.info, writing = os.pipe()
        os.set_blocking(self.info, False)
        told = {"YARD_PARENT": str(os.getpid()), "YARD_INFO": str(writing)}
        try:
            super().__init__(
                argv,
                stdin=subprocess.DEVNULL,
                env={**OUTSIDE, **env, **told},
                pass_fds=(*pass_fds, writing),
                **rest,
            )
        finally:
            os.close(writing)

    def __del__(self, *arguments: Any) -> None:
        os.close(self.info)
        super().__del__(*arguments)


def _words(spec: str, argv: Sequence[str]) -> list[str]:
    script = str(Path(__file__).with_name("enter.py"))
    return [sys.executable, "-I", "-S", script, spec, "--", *map(str, argv)]


def _limits_of(box: Sandbox) -> dict[str, Any]:
    limits = box.limits
    return {
        "memory_bytes": limits.memory_bytes,
        "processes": limits.processes,
        "disk_bytes": limits.disk_bytes,
        "seconds": limits.seconds,
        "write": [str(path) for path in box.write],
    }


def _spec(box: Sandbox, kind: Kind) -> str:
    """JSON for `enter`."""
    bubblewrap = kind == "bubblewrap"
    limits = box.limits
    most = limits.most_threads  # dash has -p, bash -u
    limited = f'ulimit -u {most} 2>/dev/null || ulimit -p {most} 2>/dev/null; exec "$@"'
    return json.dumps(
        {
            "bwrap": _bubblewrap() if bubblewrap else None,
            "arguments": arguments(box) if bubblewrap else [],
            "files": FILES if bubblewrap else {},
            "seccomp": _program() if bubblewrap else "",
            # In a user namespace of its own the count of processes begins anew, so it is limited inside.
            "inside": ["/bin/sh", "-c", limited, "sh"] if limits.kernel_counts_processes else [],
            "rlimits": limits.rlimits(),
            "tasks": limits.most_threads,
            "cpus": limits.threads,
            "nice": _NICE,
            "env": environment(box),
            "cwd": str(box.cwd),
        }
    )


@cache
def _program() -> str:
    return base64.b64encode(seccomp.program(platform.machine())).decode()


@cache
def _bubblewrap() -> str | None:
    """Not from PATH alone: what stands first there decides over all that is to be held back."""
    return shutil.which("bwrap", path="/usr/bin:/usr/local/bin:/bin") or shutil.which("bwrap")
