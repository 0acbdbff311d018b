"""Rows of a data set into the samples of forecasts: histories, and what followed them."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import numpy as np

from modelyard.errors import TooLarge
from modelyard.tasks import series as of_series
from modelyard.tasks.cells import as_number
from modelyard.tasks.contract import Array, Columns
from modelyard.tasks.time_steps import Steps
from modelyard.types.dataset import SPLIT_COLUMN, SPLITS

_MOST: Final = 200_000_000  # values of all histories of a split


def samples(columns: Columns, split: str, preprocessing: Mapping[str, Any]) -> tuple[dict[str, Array], Array]:
    """A row for each step of the split at which a forecast can begin.

    {"history": float64 [rows, length, channels], which may reach into the splits before; "time": float64
    [rows], of its last value}, and what forecasts are compared with, float64 [rows, horizon, 3] (see
    `forecast_metrics`)."""
    history, horizon = int(preprocessing["history"]), int(preprocessing["horizon"])
    found: list[tuple[Array, Array, Array]] = []
    values = 0
    for one in series_of(columns, preprocessing):
        of_series.check_order(one)
        begins = of_series.windows(one, SPLITS.index(split), history, horizon)
        begins = begins[:: preprocessing["stride"]] if split == "train" else begins
        values += len(begins) * history * one.values.shape[1]
        if values > _MOST:
            raise TooLarge("the histories are too many", allowed="a larger preprocessing.stride")
        if len(begins):
            found.append(_of_series(one, begins, preprocessing))
    if not found:
        empty = np.empty((0, history, len(preprocessing["channels"])))
        return {"history": empty, "time": np.empty(0)}, np.empty((0, horizon, 3))
    before, lasts, compared = (np.concatenate([part[k] for part in found]) for k in range(3))
    return {"history": before, "time": lasts}, compared


def series_of(columns: Columns, preprocessing: Mapping[str, Any]) -> Iterator[of_series.Series]:
    """All rows of all splits, with their column SPLIT_COLUMN, as series."""
    channels, time = preprocessing["channels"], preprocessing["time"]
    steps = msgspec.convert(preprocessing["steps"], Steps)
    values = np.stack([as_number(name, "number", columns[name]) for name in channels], axis=1)
    names = np.asarray(columns[SPLIT_COLUMN]).astype(str)
    splits = np.select([names == split for split in SPLITS], range(len(SPLITS))).astype(np.int8)
    for name, rows in of_series.rows_by_series(columns, preprocessing["series"], len(values)):
        order, times = of_series.ordered(time, preprocessing["time_kind"], columns, rows)
        yield of_series.laid_out(name, steps, times, values[order], splits[order])


def _of_series(
    one: of_series.Series, begins: Array, preprocessing: Mapping[str, Any]
) -> tuple[Array, Array, Array]:
    history, horizon = int(preprocessing["history"]), int(preprocessing["horizon"])
    before = of_series.stretches(one.values, begins - history, history)
    truth = of_series.stretches(one.values[:, :1], begins, horizon)[..., 0]
    mean = np.array(preprocessing["mean"])
    whole = np.stack([of_series.filled(each, mean)[:, 0] for each in before])
    simple = of_series.naive(whole, horizon, int(preprocessing["season"]))
    errors = preprocessing["errors"]
    unit = np.full_like(truth, errors.get(one.name, errors[""]))
    return before, one.times[begins - 1], np.stack([truth, simple, unit], axis=2)
