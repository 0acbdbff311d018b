"""The launcher from control's side: hear of each change of its table, and start a new one when it is gone."""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

from modelyard.cluster.connection import AsyncConnection
from modelyard.control.platform import Platform
from modelyard.errors import ModelyardError, Unavailable

_log = logging.getLogger(__name__)
_LOOK: Final = 0.2
_SHORTEST_LIFE: Final = 10.0  # seconds that a launcher lives, if all is well
_LONGEST_PAUSE: Final = 30.0


class LauncherWatch:
    """`changed` is called at each change of the launcher's table."""

    def __init__(self, platform: Platform, changed: Callable[[], None]) -> None:
        self._platform, self._changed = platform, changed
        self._connection = AsyncConnection(platform.home.launcher_socket)
        self._started: subprocess.Popen[bytes] | None = None
        self._started_at = -_LONGEST_PAUSE
        self._pause = _LOOK

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                async for _ in self._connection.watch():
                    self._changed()
            except ModelyardError as error:
                level = logging.DEBUG if isinstance(error, Unavailable) else logging.ERROR
                _log.log(level, "%s", error)
            await asyncio.sleep(_LOOK)
            self._replace()

    def _replace(self) -> None:
        """Start a new launcher where there was one: without its table on disk it was told to stop, or never
        was."""
        self._reap()
        now = time.monotonic()
        if self._platform.closing.is_set() or not self._platform.home.launcher_table.exists():
            return
        if self._started is not None or now - self._started_at < self._pause:
            return
        lived = now - self._started_at
        self._pause = _LOOK if lived > _SHORTEST_LIFE else min(self._pause * 2, _LONGEST_PAUSE)
        self._started_at = now
        _log.warning("the launcher is gone; starting another one")
        self._started = _start(self._platform)

    def _reap(self) -> None:
        """Take note of the end of a launcher that we started: it is our child."""
        if self._started is not None and self._started.poll() is not None:
            _log.warning("the launcher that was started ended with status %d", self._started.returncode)
            self._started = None


def _start(platform: Platform) -> subprocess.Popen[bytes]:
    """A launcher in a session of its own: it outlives control, and control's end."""
    argv = [sys.executable, "-m", "modelyard.cluster.launcher", "--home", str(platform.home.root), "--adopt"]
    with (platform.home.logs / "launcher.log").open("ab") as log:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
