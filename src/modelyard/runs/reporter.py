"""What a run says while it works: lines in its log and events to control."""

import logging
import math
import threading
import time
from typing import Protocol

from modelyard.errors import Cancelled
from modelyard.types.run import RunEvent

_log = logging.getLogger("modelyard.run")
_PROGRESS_LINES_EVERY = 5.0  # seconds


class Sink(Protocol):
    """Takes events without waiting."""

    def put(self, event: RunEvent) -> None: ...


class RunReporter:
    """The `types.run.Reporter` of a run's process. Safe to call from any thread.

    Every call writes a line to the log (progress at most one in five seconds) and hands the event to `sink`.
    """

    def __init__(self, sink: Sink | None = None) -> None:
        self.sink = sink
        self._stop = threading.Event()
        self._reason = ""
        self._next_line = 0.0

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """See `types.run.Reporter.metrics`."""
        _log.info("step %d  %s", step, "  ".join(f"{name} {value:.5g}" for name, value in values.items()))
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        # JSON has no NaN; the log line above and this text say what was left out.
        odd = ", ".join(name for name in values if name not in finite)
        text = f"not a finite number: {odd}" if odd else ""
        self._put(RunEvent(metrics=finite, step=step, text=text, time=time.time()))

    def points(self, step: int, values: dict[str, float], when: float) -> None:
        """Points that a script logged: as `metrics`, without a line for each in the log, which is the script's."""
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        odd = ", ".join(name for name in values if name not in finite)
        text = f"not a finite number: {odd}" if odd else ""
        self._put(RunEvent(metrics=finite, step=step, text=text, time=when or time.time()))

    def progress(self, done: float, total: float, text: str = "") -> None:
        """See `types.run.Reporter.progress`."""
        now = time.monotonic()
        if now >= self._next_line or done >= total:
            self._next_line = now + _PROGRESS_LINES_EVERY
            _log.info("%s (%.0f %%)", text or "progress", 100 * done / total if total > 0 else 100)
        self._put(RunEvent(done=done, total=total, text=text, time=time.time()))

    def check(self) -> None:
        """Raise errors.Cancelled when the run was told to stop."""
        if self._stop.is_set():
            raise Cancelled(self._reason)

    def stop(self, reason: str) -> None:
        """Make `check` raise from now on. The first reason stays."""
        if not self._stop.is_set():
            self._reason = reason
            self._stop.set()

    @property
    def stopping(self) -> str | None:
        """Why the run is to stop, or None."""
        return self._reason if self._stop.is_set() else None

    def wait_for_stop(self) -> None:
        """Return when the run was told to stop."""
        self._stop.wait()

    def _put(self, event: RunEvent) -> None:
        if self.sink is not None:
            self.sink.put(event)
