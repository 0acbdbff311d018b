"""A thread that takes a step whenever something changed, and every now and then without."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from modelyard.errors import Unavailable

_log = logging.getLogger(__name__)
_AFTER_ERROR: Final = 1.0

Step = Callable[[], float]
"""Makes one step and returns the seconds after which to make the next, at the latest."""


class Ticker:
    """One loop. A step that fails is logged and made again: the loop itself never ends before `stop`."""

    def __init__(self, name: str, step: Step) -> None:
        self._step = step
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Make the next step now."""
        self._wake.set()

    def stop(self, timeout: float) -> None:
        """End after the step that is being made."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            pause = self._one_step()
            if not self._stopping:
                self._wake.wait(pause)

    def _one_step(self) -> float:
        try:
            return self._step()
        except Unavailable as error:
            _log.warning("%s: %s", self._thread.name, error)
        except Exception:
            _log.exception("%s: a step failed", self._thread.name)
        return _AFTER_ERROR
