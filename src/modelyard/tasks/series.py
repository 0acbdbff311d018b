"""Time series: columns of rows into series on regular steps, and histories as a net reads them.

A history is float64 [length, channels], the target first, NaN for missing. Values that are missing between known
ones lie on the line between them, at the ends they are the nearest known one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.tasks.cells import as_category, as_number
from modelyard.tasks.contract import Columns
from modelyard.tasks.time_steps import Steps, check_times
from modelyard.types.dataset import SPLITS

Floats = npt.NDArray[np.float64]
NO_ROW: Final = -1


@dataclass(frozen=True, kw_only=True)
class Series:
    """One series on its steps.

    values  [length, channels], NaN for missing
    times   [length]; places without a row have the time that they would have
    splits  int8 [length]: numbers in types.dataset.SPLITS, NO_ROW where there is no row
    """

    name: str
    values: Floats
    times: Floats
    splits: npt.NDArray[np.int8]


def rows_by_series(columns: Columns, series: str | None, rows: int) -> Iterator[tuple[str, Any]]:
    """Each series' name and its row numbers, in the order of their first rows."""
    if series is None:
        yield "", np.arange(rows)
        return
    cells = np.array([cell.decode() for cell in as_category(series, columns[series])])
    names, firsts, numbers = np.unique(cells, return_index=True, return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers))
    for place in np.argsort(firsts):
        yield str(names[place]), order[ends[place - 1] if place else 0 : ends[place]]


def ordered(name: str | None, kind: str, columns: Columns, rows: Any) -> tuple[Any, Floats]:
    """A series' row numbers in the order of time, and their times; without a time column, as they stand."""
    if name is None:
        return rows, np.arange(len(rows), dtype=np.float64)
    cells = columns[name]
    chosen = cells[rows] if isinstance(cells, np.ndarray) else [cells[row] for row in rows]
    times = as_number(name, kind, chosen)
    order = np.argsort(times, kind="stable")
    check_times(name, times[order])
    return rows[order], times[order]


def laid_out(name: str, steps: Steps, times: Floats, values: Floats, splits: npt.NDArray[np.int8]) -> Series:
    """Rows [rows, channels] with ascending times on their steps."""
    places = steps.places(times)
    if len(np.unique(places)) < len(places):
        raise InvalidInput(f"series {name!r} has two rows within one step of {steps.size:g} {steps.unit}")
    length = int(places.max()) + 1
    grid = np.full((length, values.shape[1]), np.nan)
    grid[places] = values
    found = np.full(length, NO_ROW, np.int8)
    found[places] = splits
    every = steps.after(times[:1], np.arange(length))[0]
    every[places] = times
    return Series(name=name, values=grid, times=every, splits=found)


def check_order(series: Series) -> None:
    """Raises InvalidInput unless train, validation and test lie one after the other in time."""
    last = -1
    for number, split in enumerate(SPLITS):
        places = np.flatnonzero(series.splits == number)
        if len(places) and places[0] <= last:
            raise InvalidInput(
                "the splits do not lie one after the other in time: a forecast would be trained on its future",
                came=f"rows of {split} before the end of the one before it",
                allowed="yard data add NAME FILES --order-by COLUMN, or an ordered split column",
            )
        last = max(last, int(places[-1])) if len(places) else last


def windows(series: Series, split: int, history: int, horizon: int) -> npt.NDArray[np.int64]:
    """Places at which forecasts of a split begin: what they foretell lies in the split (places without a row
    may be among it) and has a known value, and half of a whole history before it is known."""
    length = len(series.values)
    begins = np.arange(history, length - horizon + 1)
    if not len(begins):
        return begins
    known = np.concatenate([[0], np.cumsum(~np.isnan(series.values[:, 0]))])
    other = np.concatenate([[0], np.cumsum((series.splits != split) & (series.splits != NO_ROW))])
    ahead = known[begins + horizon] - known[begins]
    behind = known[begins] - known[begins - history]
    strange = other[begins + horizon] - other[begins]
    found: npt.NDArray[np.int64] = begins[(ahead > 0) & (strange == 0) & (2 * behind >= history)]
    return found


def stretches(values: Floats, begins: Sequence[int] | npt.NDArray[np.int64], length: int) -> Floats:
    """`length` places from each of `begins` on: [stretches, length, channels]."""
    places = np.asarray(begins)[:, None] + np.arange(length)[None, :]
    return np.asarray(values[places], dtype=np.float64)


def filled(history: Floats, instead: Floats) -> Floats:
    """Missing values of one history [length, channels] by the module's rule; a channel without a known value gets
    `instead` [channels]."""
    missing = np.isnan(history)
    if not missing.any():
        return history
    out = history.copy()
    places = np.arange(len(history))
    for channel in np.flatnonzero(missing.any(axis=0)):
        known = ~missing[:, channel]
        out[:, channel] = (
            np.interp(places, places[known], history[known, channel]) if known.any() else instead[channel]
        )
    return out


def extended(history: Floats, length: int, season: int) -> Floats:
    """A history that is shorter than `length`, longer at its beginning by its first season, again and again."""
    short = length - len(history)
    if short <= 0:
        return history[-length:]
    first = history[: min(season, len(history))]
    repeated = np.concatenate([first] * (short // len(first) + 1))
    return np.concatenate([repeated[len(repeated) - short :], history])


def naive(history: Floats, horizon: int, season: int) -> Floats:
    """The seasonal-naive forecast [..., horizon] of histories [..., length]: the last season again
    (Hyndman and Athanasopoulos 2021, Forecasting, section 5.2)."""
    last = history[..., -season:]
    found: Floats = last[..., np.arange(horizon) % season]
    return found


def naive_error(values: Floats, season: int) -> float:
    """The mean absolute error of the seasonal-naive forecast, one season ahead, over values [length]: the unit of
    MASE. NaN where there is no pair."""
    apart = np.abs(values[season:] - values[:-season]) if len(values) > season else np.empty(0)
    known = apart[~np.isnan(apart)]
    return float(known.mean()) if len(known) else float("nan")
