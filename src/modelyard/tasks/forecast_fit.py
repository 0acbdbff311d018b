"""Fitting a forecast's preprocessing: which columns are what, the steps of time, scales, and the unit of MASE."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np

from modelyard.errors import InvalidInput, UnknownName
from modelyard.tasks import series as of_series
from modelyard.tasks.cells import as_number
from modelyard.tasks.contract import Columns
from modelyard.tasks.options import resolve
from modelyard.tasks.series import Floats
from modelyard.tasks.time_steps import Steps, fit_steps
from modelyard.types.dataset import Schema

NUMBERS: Final = ("number", "integer")
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class ForecastOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe's `preprocessing` for time series.

    time        the column of times or of order; None: the only timestamp column, or, without one, the rows' order
    series      the column that says which series a row is of; None: there is one series
    covariates  number columns whose histories are known as the target's is
    horizon     steps to forecast
    history     steps that a forecast looks back; None: twice the season or three horizons, whichever is more
    season      steps after which the series is about the same again; 1: none
    scale       what a net subtracts and divides by: "window": a history's own mean and deviation; "last": its
                last value, and training's deviation; "standard": training's mean and deviation; "none"
    stride      steps between two forecasts that are trained on
    """

    time: str | None = None
    series: str | None = None
    covariates: tuple[str, ...] = ()
    horizon: Count = 12
    history: Count | None = None
    season: Count = 1
    scale: Literal["window", "last", "standard", "none"] = "last"
    stride: Count = 1


def fit(columns: Columns, schema: Schema, options: Mapping[str, Any]) -> dict[str, Any]:
    """Preprocessing of the training rows; `schema.label` is the target. Raises InvalidInput, UnknownName."""
    given = resolve(ForecastOptions, options, "preprocessing")
    target = str(schema.label)
    time, kind = _time(schema, given.time, target)
    _check(schema, given, (target, *([time] if time else [])))
    history = given.history or max(2 * given.season, 3 * given.horizon)
    if history < given.season:
        raise InvalidInput(
            "preprocessing.history is shorter than a season", came=history, allowed=f"{given.season} or more"
        )
    channels = [target, *given.covariates]
    values = np.stack([as_number(name, "number", columns[name]) for name in channels], axis=1)
    laid, steps = _laid_out(columns, values, time, kind, given.series)
    mean, std = _moments(values, channels)
    errors = {one.name: of_series.naive_error(one.values[:, 0], given.season) for one in laid}
    return {
        "time": time,
        "time_kind": kind,
        "series": given.series,
        "channels": channels,
        "unused": [c.name for c in schema.columns if c.name not in (*channels, time, given.series)],
        "horizon": given.horizon,
        "history": history,
        "season": given.season,
        "scale": given.scale,
        "stride": given.stride,
        "steps": msgspec.to_builtins(steps),
        "mean": mean,
        "std": std,
        "errors": _errors(errors),
    }


def _time(schema: Schema, said: str | None, target: str) -> tuple[str | None, str]:
    """The time column and its kind; None and "" where the rows' order is all there is."""
    if said is None:
        stamps = [c.name for c in schema.columns if c.kind == "timestamp"]
        if len(stamps) > 1:
            raise InvalidInput(
                "there are several columns of times", came=stamps, allowed="preprocessing.time"
            )
        said = stamps[0] if stamps else None
    if said is None:
        return None, ""
    column = schema.column(said)
    if column is None:
        raise UnknownName("column", said, [c.name for c in schema.columns], where="preprocessing.time")
    if column.kind not in (*NUMBERS, "timestamp") or said == target:
        raise InvalidInput(
            "preprocessing.time needs a column of times or of order",
            came=f"{said} ({column.kind})" + (", the target" if said == target else ""),
            allowed="timestamp, integer, number",
        )
    return said, "timestamp" if column.kind == "timestamp" else "number"


def _check(schema: Schema, given: ForecastOptions, taken: tuple[str, ...]) -> None:
    names = [c.name for c in schema.columns]
    named = [*given.covariates, *([given.series] if given.series else [])]
    for name in named:
        if name not in names:
            raise UnknownName("column", name, names, where="preprocessing")
    both = {name for name in (*named, *taken) if (*named, *taken).count(name) > 1}
    if both:
        raise InvalidInput("preprocessing names a column twice", came=sorted(both))
    for name in given.covariates:
        column = schema.column(name)
        if column is None or column.kind not in NUMBERS:
            raise InvalidInput(
                f"covariate {name!r} is no column of numbers", came=column and column.kind, allowed=NUMBERS
            )


def _laid_out(
    columns: Columns, values: Floats, time: str | None, kind: str, series: str | None
) -> tuple[list[of_series.Series], Steps]:
    found = []
    for name, rows in of_series.rows_by_series(columns, series, len(values)):
        order, times = of_series.ordered(time, kind, columns, rows)
        found.append((name, order, times))
    steps = (
        fit_steps([times for _, _, times in found], kind == "timestamp")
        if time
        else Steps(unit="rows", size=1)
    )
    train = np.zeros(len(values), np.int8)
    laid = [
        of_series.laid_out(name, steps, times, values[rows], train[: len(rows)])
        for name, rows, times in found
    ]
    return laid, steps


def _moments(values: Floats, channels: list[str]) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel; a deviation of 0 becomes 1."""
    for name, column in zip(channels, values.T, strict=True):
        if np.isnan(column).all():
            raise InvalidInput(f"column {name!r} has no value in the training split")
    mean, std = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    return mean.tolist(), np.where(std > 1e-12 * np.maximum(1, np.abs(mean)), std, 1.0).tolist()


def _errors(errors: dict[str, float]) -> dict[str, float]:
    """The unit of MASE by series, "" for one that training has not seen: their mean. 1 where a series is too
    short or repeats itself exactly."""
    known = [error for error in errors.values() if np.isfinite(error) and error > 0]
    mean = float(np.mean(known)) if known else 1.0
    every = {name: error if np.isfinite(error) and error > 0 else 1.0 for name, error in errors.items()}
    return {"": mean} | every
