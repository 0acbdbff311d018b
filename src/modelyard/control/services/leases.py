"""How long an attempt is believed to live. On the monotonic clock, so that a jump of the wall clock ends no
run."""

import threading
import time
from collections.abc import Callable
from typing import Final

LEASE_SECONDS: Final = 15.0


class Leases:
    """In memory alone: after a restart of control every attempt has a whole lease to be heard of again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[tuple[str, int], float] = {}
        self._lock = threading.Lock()

    def renew(self, run: str, attempt: int) -> None:
        """The attempt was heard of."""
        with self._lock:
            self._until[run, attempt] = self._clock() + LEASE_SECONDS

    def expired(self, run: str, attempt: int) -> bool:
        """Whether the attempt was silent for too long. One that was never heard of gets a lease now."""
        with self._lock:
            until = self._until.setdefault((run, attempt), self._clock() + LEASE_SECONDS)
            return self._clock() > until

    def drop(self, run: str) -> None:
        """Forget all attempts of a run."""
        with self._lock:
            self._until = {key: until for key, until in self._until.items() if key[0] != run}
