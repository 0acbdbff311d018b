"""How much deployments have to do, as the gateway last said. In memory: after a restart nothing is known, and what
is not known is not idle."""

import math
import threading
import time
from collections.abc import Callable, Collection
from typing import Final

from modelyard.types.activity import Activity, ActivityReport

_SILENCE: Final = 10.0  # seconds without a report, after which nothing that it said holds
_RECENT: Final = 1.0  # seconds for which one that had a request is taken to have the next

Key = tuple[str, str]
"""Tenant and name."""


class Activities:
    """By deployment. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._heard = -math.inf
        self._busy: dict[Key, Activity] = {}
        self._last: dict[Key, float] = {}

    def hear(self, report: ActivityReport) -> None:
        now = self._clock()
        with self._lock:
            self._heard = now
            self._busy = {(a.tenant, a.name): a for a in report.deployments if a.running or a.waiting}
            for told in report.deployments:
                self._last[told.tenant, told.name] = now

    def touch(self, key: Key) -> None:
        """As if it had a request now."""
        with self._lock:
            self._last[key] = self._clock()

    def keep(self, keys: Collection[Key]) -> None:
        """Forget all others; those that are not known yet begin to be idle now."""
        with self._lock:
            now = self._clock()
            self._last = {key: self._last.get(key, now) for key in keys}

    def idle(self, key: Key) -> float | None:
        """Seconds since it was last used; None where it is busy, or may be."""
        with self._lock:
            now = self._clock()
            if now - self._heard > _SILENCE or key in self._busy or key not in self._last:
                return None
            idle = now - self._last[key]
            return idle if idle >= _RECENT else None

    def last(self, key: Key) -> float:
        """When it was last used, of the clock."""
        with self._lock:
            return self._last.get(key, -math.inf)

    def running(self, key: Key) -> int:
        """Requests that its replicas work on, as far as is known."""
        with self._lock:
            told = self._busy.get(key)
            known = told is not None and self._clock() - self._heard <= _SILENCE
            return told.running if told is not None and known else 0
