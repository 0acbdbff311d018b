"""The child: vLLM's server with its guard, started, waited for, and ended."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from modelyard.engines.vllm import guard
from modelyard.errors import Unavailable

GRACE: Final = 10.0
"""Seconds between asking vLLM to end and killing it."""
_PAUSE: Final = 0.1
_ANSWER: Final = 5.0
_HEALTHY: Final = (b"HTTP/1.1 200", b"HTTP/1.0 200")
_QUIET: Final = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
}
"""Nothing is told to anybody, and nothing is fetched: what a model needs is in its package."""


class Child:
    """A command that serves HTTP on a unix socket in a folder of its own, which only this user may enter.

    `key` is what its requests must bear; it reaches the command through the environment, which others cannot read.
    Its output is the replica's."""

    def __init__(self) -> None:
        self.key = secrets.token_urlsafe(32)
        self._folder = Path(tempfile.mkdtemp(prefix="yard-vllm-"))
        self.socket = self._folder / "s"
        self._guard: subprocess.Popen[bytes] | None = None
        self._pipe = -1

    @property
    def ended(self) -> bool:
        return self._guard is None or self._guard.poll() is not None

    def start(self, command: Sequence[str], threads: int | None, grace: float = GRACE) -> None:
        environment = {**os.environ, **_QUIET, "VLLM_API_KEY": self.key}
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        inside, self._pipe = os.pipe()
        words = [sys.executable, "-I", "-S", guard.__file__, str(grace), str(self._folder), *command]
        try:
            self._guard = subprocess.Popen(words, stdin=inside, env=environment, start_new_session=True)
        finally:
            os.close(inside)

    def wait_until_healthy(self, seconds: float) -> None:
        """Raises Unavailable where it ends before, or takes longer."""
        deadline, pause = time.monotonic() + seconds, threading.Event()
        while not _healthy(self.socket):
            if self.ended:
                status = self._guard.returncode if self._guard else None
                raise Unavailable(
                    "vLLM ended while it loaded the model; the log says why", came=f"status {status}"
                )
            if time.monotonic() > deadline:
                raise Unavailable(
                    "vLLM did not load the model in time", allowed=f"{seconds:g} s (startup_seconds)"
                )
            pause.wait(_PAUSE)

    def watch(self, ended: Callable[[], None]) -> None:
        """Call `ended`, in a thread, where the command ends before it is asked to."""
        threading.Thread(target=self._watch, args=(ended,), name="vllm-watch", daemon=True).start()

    def _watch(self, ended: Callable[[], None]) -> None:
        if self._guard is not None:
            self._guard.wait()
        if self._pipe >= 0:
            ended()

    def stop(self) -> None:
        """End it and all that it started; returns when it is gone. More than once does no harm."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        if self._guard is not None:
            self._guard.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _healthy(at: Path) -> bool:
    """GET /health answers 200 once the engine runs (vllm/entrypoints/serve/instrumentator/health.py)."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(_ANSWER)
        try:
            s.connect(os.fspath(at))
            s.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return s.recv(64).startswith(_HEALTHY)
        except OSError:
            return False
