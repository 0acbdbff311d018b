"""How long to wait before a process is started again."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 30.0
HEALTHY = 10.0
"""Seconds. A process that lived HEALTHY is started again at once."""


class Backoff:
    """Exponential backoff: each life shorter than HEALTHY doubles the pause; a longer one forgives."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE

    def pause(self, lived: float) -> float:
        """Seconds to wait after a life of `lived` seconds."""
        if lived >= HEALTHY:
            self._next = FIRST_PAUSE
            return 0.0
        pause, self._next = self._next, min(self._next * 2, LONGEST_PAUSE)
        return pause
