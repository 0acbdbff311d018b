"""Start a process on this machine with limits, and hold it: signal it, wait for its end, end its group."""

import asyncio
import os
import resource
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from modelyard.cluster.identity import MARKER, Identity, identify
from modelyard.types.process import ProcessSpec

_BASE_NAMES = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR",
               "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES",
               "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy",
               "all_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # fmt: skip
_BASE_PREFIXES = ("LC_", "PIP_", "HF_", "CUDA_", "NCCL_", "RAY_", "VLLM_")
"""Environments and imports come from where the machine is set to, and GPUs and hosts are those it names."""
_POLL = 0.05  # seconds, where the kernel cannot tell of an end


class Handle:
    """A started or adopted process, named by its Identity. Used from one event loop."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self._fd = _open_pidfd(identity)

    @property
    def pid(self) -> int:
        return self.identity.pid

    def terminate(self) -> None:
        """SIGTERM to the process itself; it sees to its own children."""
        with suppress(ProcessLookupError):  # it ended on its own: what was asked for
            if self._fd is not None:
                signal.pidfd_send_signal(self._fd, signal.SIGTERM)
            elif self.identity.alive():
                os.kill(self.pid, signal.SIGTERM)

    def kill_group(self) -> None:
        """SIGKILL to the process and to all of its group."""
        with suppress(ProcessLookupError, PermissionError):  # EPERM: only the dead are left in it (macOS)
            os.killpg(self.pid, signal.SIGKILL)

    async def ended(self) -> int | None:
        """Wait for the end; then end what is left of its group.

        The exit status (negative: the signal), or None where it is not our child.
        """
        if self._fd is not None:
            await _readable(self._fd)
            os.close(self._fd)
            self._fd = None
        else:
            while self.identity.alive():  # noqa: ASYNC110 (there is no event to wait for)
                await asyncio.sleep(_POLL)
        self.kill_group()  # before it is reaped: until then the number of its group is not given again
        return _reap(self.pid)


def start(spec: ProcessSpec, marker: str) -> Handle:
    """Start `spec` in a session of its own; raises OSError where it cannot be started.

    Standard input is empty; output goes to the end of the log; a safe base of the environment, the declared
    variables and `marker` are passed on, nothing else, and no descriptor.
    """
    if spec.fault_file is not None:
        Path(spec.fault_file).unlink(missing_ok=True)
    log = os.open(spec.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        child = subprocess.Popen(
            spec.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=spec.cwd,
            env=environment(spec, marker),
            close_fds=True,
            start_new_session=True,
            preexec_fn=_limits(spec),  # safe here: the launcher has one thread
        )
    finally:
        os.close(log)
    child.returncode = 0  # the Handle reaps it; this keeps Popen from warning and from reaping too
    return Handle(identify(child.pid) or Identity(pid=child.pid, started="ended at once"))


def environment(spec: ProcessSpec, marker: str) -> dict[str, str]:
    """The whole environment of a process."""
    base = {k: v for k, v in os.environ.items() if k in _BASE_NAMES or k.startswith(_BASE_PREFIXES)}
    base |= {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}  # the folder it runs in is no source of modules
    return base | spec.env | {MARKER: marker}


def _limits(spec: ProcessSpec) -> Callable[[], None] | None:
    if spec.memory_bytes is None and spec.open_files is None and spec.nice == 0:
        return None

    def apply() -> None:
        for limit, value in (
            (resource.RLIMIT_DATA, spec.memory_bytes),
            (resource.RLIMIT_NOFILE, spec.open_files),
        ):
            if value is not None:
                hard = resource.getrlimit(limit)[1]
                value = value if hard == resource.RLIM_INFINITY else min(value, hard)
                resource.setrlimit(limit, (value, value))
        os.nice(spec.nice)

    return apply


def _open_pidfd(identity: Identity) -> int | None:
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        fd = os.pidfd_open(identity.pid)
    except OSError:  # it is gone already, or the kernel is older than 5.3: both are seen by polling
        return None
    if identify(identity.pid) in (None, identity):
        return fd
    os.close(fd)  # the pid was given again before the descriptor was opened
    return None


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)


def _reap(pid: int) -> int | None:
    try:
        reaped, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if reaped else None
