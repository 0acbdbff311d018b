"""Fitting a table's preprocessing: imputing, scaling, and which categories get a feature."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np

from modelyard.errors import InvalidInput
from modelyard.tasks import timestamps
from modelyard.tasks.cells import as_category, as_number
from modelyard.tasks.contract import Columns
from modelyard.tasks.options import resolve
from modelyard.tasks.timestamps import Matrix
from modelyard.types.dataset import Column, Schema


class TableOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe's `preprocessing` for tables.

    impute              what a missing number becomes; "constant" is `fill_value`
    missing_indicators  a 0/1 feature for each number column that has missing values in training
    scale               "standard": mean 0, deviation 1; "minmax": training's range to 0..1
    min_frequency       categories rarer than this share one feature: rows where >= 1, else a share of the rows
    max_categories      the most frequent categories of a column that get a feature of their own
    """

    impute: Literal["median", "mean", "constant"] = "median"
    fill_value: float = 0.0
    missing_indicators: bool = False
    scale: Literal["standard", "minmax", "none"] = "standard"
    min_frequency: float = 1.0
    max_categories: int = 100


def fit(columns: Columns, schema: Schema, options: Mapping[str, Any]) -> dict[str, Any]:
    """Preprocessing of the training split's columns: {"columns", "unused", "numbers", "timestamps",
    "categories"}. `unused` are the data set's other columns: a caller may send them, as part of a whole row.

    Raises InvalidInput where a column holds infinite values or there are no rows.
    """
    given = resolve(TableOptions, options, "preprocessing")
    _check_options(given)
    kinds = [column for name in columns if (column := schema.column(name)) is not None]
    numbers = [c for c in kinds if c.kind in ("number", "integer", "boolean")]
    return {
        "columns": [{"name": c.name, "kind": c.kind} for c in kinds],
        "unused": [c.name for c in schema.columns if c.name not in columns],
        "numbers": _fit_numbers(numbers, columns, given),
        "timestamps": _fit_timestamps([c for c in kinds if c.kind == "timestamp"], columns),
        "categories": [_fit_category(c.name, columns[c.name], given) for c in kinds if c.kind == "category"],
    }


def _check_options(given: TableOptions) -> None:
    if given.min_frequency < 0:
        raise InvalidInput(
            "preprocessing.min_frequency is out of range", came=given.min_frequency, allowed=">= 0"
        )
    if given.max_categories < 1:
        raise InvalidInput(
            "preprocessing.max_categories is out of range", came=given.max_categories, allowed=">= 1"
        )


def _fit_numbers(kinds: list[Column], columns: Columns, given: TableOptions) -> dict[str, Any]:
    fill, center, scale, indicator = [], [], [], []
    for column in kinds:
        values = as_number(column.name, column.kind, columns[column.name])
        known = values[~np.isnan(values)]
        if not len(values) or np.isinf(known).any():
            raise InvalidInput(
                f"column {column.name!r} has no rows, or infinite values", allowed="finite numbers"
            )
        fill.append(_fill(known, given))
        shift, factor = _scaling(np.where(np.isnan(values), fill[-1], values), given.scale)
        center.append(shift)
        scale.append(factor)
        indicator.append(bool(given.missing_indicators and len(known) < len(values)))
    names = [column.name for column in kinds]
    return {"names": names, "fill": fill, "center": center, "scale": scale, "indicator": indicator}


def _fill(known: Matrix, given: TableOptions) -> float:
    if given.impute == "constant" or not len(known):
        return given.fill_value
    return float(np.median(known) if given.impute == "median" else np.mean(known))


def _scaling(values: Matrix, kind: str) -> tuple[float, float]:
    """What is subtracted, and what is divided by; never 0."""
    if kind == "none":
        return 0.0, 1.0
    low = float(values.min())
    shift, factor = (
        (float(values.mean()), float(values.std()))
        if kind == "standard"
        else (low, float(values.max()) - low)
    )
    return shift, factor if factor > 1e-12 * max(1.0, abs(shift)) else 1.0


def _fit_timestamps(kinds: list[Column], columns: Columns) -> dict[str, Any]:
    if not kinds:
        return {"names": [], "center": [], "scale": []}
    raw = timestamps.parts(np.stack([as_number(c.name, c.kind, columns[c.name]) for c in kinds], axis=1))
    known = ~np.isnan(raw)
    count = np.maximum(known.sum(axis=0), 1)
    center = np.where(known, raw, 0).sum(axis=0) / count
    scale = np.sqrt((np.where(known, raw - center, 0) ** 2).sum(axis=0) / count)
    scale = np.where(scale > 0, scale, 1.0)
    return {"names": [c.name for c in kinds], "center": center.tolist(), "scale": scale.tolist()}


def _fit_category(name: str, values: Any, given: TableOptions) -> dict[str, Any]:
    """Kept values by falling frequency, then by name."""
    cells = [cell.decode() for cell in as_category(name, values).tolist() if cell]
    counts: dict[str, int] = {}
    for cell in cells:
        counts[cell] = counts.get(cell, 0) + 1
    least = given.min_frequency if given.min_frequency >= 1 else given.min_frequency * len(values)
    kept = sorted((v for v, n in counts.items() if n >= least), key=lambda v: (-counts[v], v))
    return {"name": name, "values": kept[: given.max_categories], "missing": len(cells) < len(values)}
