"""The regular steps of a time series: which place a time has on them, and which time comes next."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_MONTH: Final = 28 * 86_400  # seconds; steps of this length and more are of the calendar
_OFF: Final = 0.25  # of a step: how far a time may be from its place
_ROOM: Final = 20  # places a row, at most: more are no gaps but another step
_LATEST: Final = 2.0**50


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """How far apart the values of a series are.

    unit  "seconds" and "months" of timestamps, "number" of an order column, "rows" where there is neither
    size  units of one step
    """

    unit: Literal["seconds", "months", "number", "rows"]
    size: float

    def places(self, times: Floats) -> Ints:
        """Steps since the first of `times` [rows], which need no order. Raises InvalidInput for times between two
        places."""
        if self.unit == "rows":
            return np.arange(len(times))
        along = self._along(times)
        exact = (along - along.min()) / self.size
        places = np.rint(exact)
        off = np.flatnonzero(np.abs(exact - places) > _OFF)
        if len(off):
            raise InvalidInput(
                "the times of a series are not in regular steps",
                came=f"{self.said(times[off[0]])}, between two steps of {self.size:g} {self.unit}",
                allowed="one row a step (rows may be missing); sum or average rows first",
            )
        if len(places) and places.max() > _ROOM * len(times) + 1000:
            raise InvalidInput(
                "the times of a series are too far apart",
                came=f"{len(times)} rows over {places.max():.0f} steps of {self.size:g} {self.unit}",
                allowed=f"{_ROOM} steps a row",
            )
        found: Ints = places.astype(np.int64)
        return found

    def after(self, times: Floats, counts: Ints) -> Floats:
        """Times [rows] and `counts` [steps] into the times so many steps later [rows, steps]; NaN stays."""
        if self.unit != "months":
            return times[:, None] + counts[None, :] * self.size
        known = np.isfinite(times)
        seconds = np.where(known, times, 0).astype(np.int64).astype("datetime64[s]")
        months = seconds.astype("datetime64[M]")
        later = months[:, None] + (counts * round(self.size)).astype("timedelta64[M]")[None, :]
        starts = later.astype("datetime64[s]").astype(np.int64)
        within = (seconds - months.astype("datetime64[s]")).astype(np.int64)[:, None]
        longest = (
            (later + 1).astype("datetime64[s]").astype(np.int64) - starts - 86_400
        )  # the last day's start
        day, clock = np.divmod(within, 86_400)
        found = starts + np.minimum(day * 86_400, longest) + clock
        return np.where(known[:, None], found.astype(np.float64), np.nan)

    def said(self, time: float) -> str:
        """A time as people write it."""
        if self.unit in ("seconds", "months"):
            return iso(float(time)).removesuffix("T00:00:00Z")
        return f"{time:g}"

    def _along(self, times: Floats) -> Floats:
        if self.unit != "months":
            return times
        stamps = times.astype(np.int64).astype("datetime64[s]").astype("datetime64[M]")
        return stamps.astype(np.int64).astype(np.float64)


def fit_steps(series: Sequence[Floats], timestamps: bool) -> Steps:
    """The usual distance of neighbouring times, over all series; each array is one's times, ascending.

    Raises InvalidInput where a time stands twice, or no series has two.
    """
    apart = np.concatenate([np.diff(times) for times in series]) if series else np.empty(0)
    if not len(apart):
        raise InvalidInput("no series has two rows", allowed="a history of some rows")
    size = float(np.median(apart))
    if timestamps and size >= _MONTH and (months := _months(series)):
        return Steps(unit="months", size=months)
    return Steps(unit="seconds" if timestamps else "number", size=size)


def check_times(name: str, times: Floats) -> None:
    """Raises InvalidInput for a missing time, one that is too far away, or one that stands twice; `times`
    ascend."""
    if not np.isfinite(times).all() or np.abs(times).max(initial=0) > _LATEST:
        raise InvalidInput(f"column {name!r} has a missing time", allowed="a time in every row")
    twice = np.flatnonzero(np.diff(times) == 0)
    if len(twice):
        raise InvalidInput(
            f"column {name!r} has a time twice in one series",
            came=f"{times[twice[0]]:.15g}",
            allowed="one row a time; where there are several series, preprocessing.series names their column",
        )


def iso(seconds: float) -> str:
    """ISO 8601, UTC."""
    stamp = np.datetime64(round(seconds * 1000), "ms")
    text = str(stamp)
    return f"{text.removesuffix('.000')}Z"


def _months(series: Sequence[Floats]) -> int:
    """Months of a step, where the rows are of the calendar; else 0."""
    stamps: Any = [t.astype(np.int64).astype("datetime64[s]").astype("datetime64[M]") for t in series]
    apart = np.concatenate([np.diff(months).astype(np.int64) for months in stamps])
    size = int(np.median(apart))
    return size if size > 0 and np.mean(apart % size == 0) > 0.95 else 0
