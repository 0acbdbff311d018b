"""What a caller gives to be forecast, as histories; and histories as the engine is fed them."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np

from modelyard.errors import InvalidInput, TooLarge
from modelyard.tasks import series as of_series
from modelyard.tasks.cells import as_number
from modelyard.tasks.contract import Array, Columns
from modelyard.tasks.series import Floats
from modelyard.tasks.tables import rows_to_columns
from modelyard.tasks.time_steps import Steps

ALLOWED: Final = (
    "a list of numbers (null for missing), a list of rows, {column: values}, or a list of several of these"
)
TIMES: Final = ("timestamp", "order")
"""What the output of times is called: seconds since the epoch, or numbers of an order column."""
MOST: Final = 1_000_000
"""Values of all histories that a caller sends at once."""


def times_name(preprocessing: Mapping[str, Any]) -> str:
    """One of TIMES."""
    return TIMES[0] if preprocessing["time_kind"] == "timestamp" else TIMES[1]


def are_several(inputs: Any) -> bool:
    """Whether this is a list of histories, and not one history."""
    inputs = _inside(inputs)
    return isinstance(inputs, list) and bool(inputs) and all(_is_history(one) for one in inputs)


def sample(inputs: Any) -> dict[str, Any]:
    """A history, or several, into {"history": [one a row]}. Raises InvalidInput, TooLarge."""
    inputs = _inside(inputs)
    if not isinstance(inputs, list | Mapping) or not inputs:
        raise InvalidInput("inputs are not a history", came=type(inputs).__name__, allowed=ALLOWED)
    several = inputs if are_several(inputs) else [inputs]
    if sum(_length(one) for one in several) > MOST:
        raise TooLarge("the histories are too long", allowed=f"{MOST:,} values in all")
    return {"history": several}


class PreparedHistories:
    """See `contract.Prepared`. `channels` are the columns of a history, the target first."""

    def __init__(self, preprocessing: Mapping[str, Any]) -> None:
        self.channels: list[str] = list(preprocessing["channels"])
        self.time: str | None = preprocessing["time"]
        self.steps = msgspec.convert(preprocessing["steps"], Steps)
        self.horizon, self.season = int(preprocessing["horizon"]), int(preprocessing["season"])
        self.length = int(preprocessing["history"])
        self.least = min(self.length, max(2, self.season))
        self._kind = str(preprocessing["time_kind"])
        self._times = times_name(preprocessing)
        self._series: str | None = preprocessing["series"]
        self._unused = frozenset(preprocessing["unused"])
        self._mean = np.array(preprocessing["mean"], dtype=np.float64)

    def decode(self, columns: Columns) -> dict[str, Array]:
        """`columns` has "history": histories one a row, or float64 [rows, length, channels]; and perhaps
        "time": their last times [rows]. Shorter histories begin with missing values, longer ones are cut at
        their beginning."""
        if not columns.keys() <= {"history", "time"} or "history" not in columns:
            raise InvalidInput("a history is needed", came=sorted(columns)[:20], allowed=ALLOWED)
        values = columns["history"]
        if isinstance(values, np.ndarray) and values.dtype != object:
            histories = np.asarray(values, dtype=np.float64)[:, -self.length :]
            lasts = np.asarray(columns.get("time", np.full(len(histories), np.nan)), dtype=np.float64)
        else:
            found = [self._history(number, one) for number, one in enumerate(values)]
            if not found:
                raise InvalidInput("there is no history", allowed=ALLOWED)
            longest = max(len(history) for history, _ in found)
            histories = np.full((len(found), longest, len(self.channels)), np.nan)
            for row, (history, _) in enumerate(found):
                histories[row, longest - len(history) :] = history
            lasts = np.array([last for _, last in found])
        self._check(histories)
        return {"history": histories} | ({"time": lasts} if self.time else {})

    def transform(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """{"history": float32 [rows, length, channels]} without missing values."""
        wanted = {"history", "time"} if self.time else {"history"}
        if arrays.keys() != wanted:
            raise InvalidInput("other inputs are needed", came=sorted(arrays), allowed=sorted(wanted))
        histories = arrays["history"]
        self._check(histories)
        whole = np.stack([self._whole(history) for history in histories[:, -self.length :]])
        with np.errstate(over="ignore"):
            found = whole.astype(np.float32)
        if not np.isfinite(found).all():
            raise InvalidInput("a history holds infinite values, or too large ones", allowed="finite numbers")
        return {"history": found}

    def complete(self, arrays: Mapping[str, Array], outputs: Mapping[str, Array]) -> dict[str, Array]:
        """The forecasts' times beside them, where there is a time column."""
        if not self.time:
            return dict(outputs)
        times = self.steps.after(np.asarray(arrays["time"], dtype=np.float64), np.arange(1, self.horizon + 1))
        return {**outputs, self._times: times}

    def _history(self, number: int, given: Any) -> tuple[Floats, float]:
        """One history [length, channels], and the time of its last value, NaN where it is not said."""
        given = _inside(given)
        if isinstance(given, list) and given and all(isinstance(row, Mapping) for row in given):
            given = rows_to_columns(given)
        if isinstance(given, Mapping):
            return self._of_columns(given)
        if len(self.channels) > 1:
            raise InvalidInput(
                f"history {number} needs a column of each", came="numbers alone", allowed=self.channels
            )
        try:
            values = as_number("history", "number", given)
        except TypeError:
            raise InvalidInput(
                f"history {number} is none", came=type(given).__name__, allowed=ALLOWED
            ) from None
        return values[-self.length :, None], float("nan")

    def _of_columns(self, given: Mapping[str, Any]) -> tuple[Floats, float]:
        columns = {str(name): value for name, value in given.items() if name not in self._unused}
        if columns.keys() == {"history"} and "history" not in self.channels and len(self.channels) == 1:
            columns = {self.channels[0]: columns["history"]}
        known = {
            *self.channels,
            *([self.time] if self.time else []),
            *([self._series] if self._series else []),
        }
        missing = [name for name in self.channels if name not in columns]
        extra = [name for name in columns if name not in known]
        if missing or extra:
            what = f"columns are missing: {missing}" if missing else f"unknown columns: {extra[:10]}"
            raise InvalidInput(what, came=sorted(columns)[:50], allowed=sorted(known))
        if not all(isinstance(values, list | tuple | np.ndarray) for values in columns.values()):
            raise InvalidInput("a history's columns are lists of values", came="a single value")
        if len({len(values) for values in columns.values()}) > 1:
            raise InvalidInput("columns need the same number of rows", came=sorted(columns))
        if self._series in columns and len(set(map(str, columns[str(self._series)]))) > 1:
            raise InvalidInput(
                "a history is of one series",
                came=f"several of {self._series!r}",
                allowed="a list of histories",
            )
        values = np.stack([as_number(name, "number", columns[name]) for name in self.channels], axis=1)
        if self.time is None or self.time not in columns or not len(values):
            return values[-self.length :], float("nan")
        rows, times = of_series.ordered(self.time, self._kind, columns, np.arange(len(values)))
        laid = of_series.laid_out("", self.steps, times, values[rows], np.zeros(len(rows), np.int8))
        return laid.values[-self.length :], float(times[-1])

    def _whole(self, history: Floats) -> Floats:
        """One history without missing values, of the length that the net was trained on."""
        if len(history) == self.length and not np.isnan(history).any():
            return history
        known = ~np.isnan(history[:, 0])
        begun = history[int(known.argmax()) :] if known.any() else history[:0]
        if len(begun) < self.least or 2 * int(known.sum()) < len(begun):
            raise InvalidInput(
                "a history is too short, or misses too much",
                came=f"{int(known.sum())} known values over {len(begun)} steps",
                allowed=f"{self.least} steps or more, half of them known",
            )
        return of_series.extended(of_series.filled(begun, self._mean), self.length, self.season)

    def _check(self, histories: Array) -> None:
        if histories.ndim != 3 or histories.shape[2] != len(self.channels) or not all(histories.shape):
            raise InvalidInput(
                "histories have a wrong shape",
                came=list(histories.shape),
                allowed=f"[rows, steps, {len(self.channels)}]",
            )


def _inside(inputs: Any) -> Any:
    """What stands below a lone "data" or "history"."""
    while isinstance(inputs, Mapping) and len(inputs) == 1:
        (name, inner) = next(iter(inputs.items()))
        if name not in ("data", "history") or not isinstance(inner, list | Mapping):
            return inputs
        inputs = inner
    return inputs


def _is_history(value: Any) -> bool:
    if isinstance(value, list):
        return True
    return isinstance(value, Mapping) and any(isinstance(inner, list | Mapping) for inner in value.values())


def _length(history: Any) -> int:
    if isinstance(history, Mapping):
        return sum(len(v) if isinstance(v, list) else 1 for v in history.values())
    return len(history) if isinstance(history, list) else 1
