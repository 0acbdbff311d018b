"""How long work will still take, by how long it took so far."""

import time
from collections.abc import Callable


class TimeLeft:
    """Counts from when it is made, so that what an earlier attempt did is not taken for this one's speed."""

    def __init__(self, done: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began, self._done = clock, clock(), done

    def said(self, done: float, total: float) -> str:
        """ "40 s left"; nothing before there is something to judge by, and at the end."""
        if done <= self._done:
            return ""
        return said((self._clock() - self._began) / (done - self._done) * (total - done))


def said(seconds: float) -> str:
    """ "40 s left", "2 min left", "1 h 5 min left"; nothing for less than a second."""
    if seconds < 1:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s left"
    minutes = round(seconds / 60)
    return f"{minutes} min left" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min left"
