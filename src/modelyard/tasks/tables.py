"""Rows of a table: fitted preprocessing, and columns into one feature matrix.

Number columns (integers, booleans as 0 and 1, timestamps as seconds since the epoch, too) travel as FP64
with NaN for missing, categories as BYTES with an empty value for missing. Features are float32, in this
order: numbers (imputed and scaled), indicators of missing numbers, timestamp parts, then each category
one-hot.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.tasks.cells import as_category, as_number, plain_matrix
from modelyard.tasks.contract import Array, Columns
from modelyard.tasks.options import resolve
from modelyard.types.dataset import Column, Schema
from modelyard.types.tensor import TensorSpec

Matrix = npt.NDArray[np.float64]
NUMBER_KINDS: Final = ("number", "integer", "boolean", "timestamp")
_PARTS: Final = 4  # what a timestamp becomes: days since 1970, month, weekday, hour


class TableOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe's `preprocessing` for tables.

    impute              what a missing number becomes; "constant" is `fill_value`
    missing_indicators  a 0/1 feature for each number column that has missing values in training
    scale               "standard": mean 0, deviation 1; "minmax": training's range to 0..1
    min_frequency       categories rarer than this share one feature: rows where >= 1, else a share of the
    rows max_categories      the most frequent categories of a column that get a feature of their own
    """

    impute: Literal["median", "mean", "constant"] = "median"
    fill_value: float = 0.0
    missing_indicators: bool = False
    scale: Literal["standard", "minmax", "none"] = "standard"
    min_frequency: float = 1.0
    max_categories: int = 100


def features(schema: Schema, target: str, task: str) -> list[str]:
    """The columns that can be features: all but the target, free text, images and audio."""
    there = [f"{c.name} ({c.kind})" for c in schema.columns]
    if schema.column(target) is None:
        raise InvalidInput("there is no such target column", came=target, allowed=there)
    names = [c.name for c in schema.columns if c.name != target and c.kind in (*NUMBER_KINDS, "category")]
    if not names:
        raise InvalidInput(
            f"{task} needs a feature column besides the target {target!r}",
            came=there,
            allowed="number, integer, boolean, timestamp, category (text is not a feature)",
        )
    return names


def fit(columns: Columns, schema: Schema, options: Mapping[str, Any]) -> dict[str, Any]:
    """Preprocessing of the training split's columns: {"columns", "numbers", "timestamps", "categories"}.

    Raises InvalidInput where a column holds infinite values or there are no rows.
    """
    given = resolve(TableOptions, options, "preprocessing")
    _check_options(given)
    kinds = [column for name in columns if (column := schema.column(name)) is not None]
    numbers = [c for c in kinds if c.kind in ("number", "integer", "boolean")]
    return {
        "columns": [{"name": c.name, "kind": c.kind} for c in kinds],
        "numbers": _fit_numbers(numbers, columns, given),
        "timestamps": _fit_timestamps([c for c in kinds if c.kind == "timestamp"], columns),
        "categories": [_fit_category(c.name, columns[c.name], given) for c in kinds if c.kind == "category"],
    }


def input_specs(preprocessing: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    """A tensor for each column, [-1]: FP64, or BYTES for categories."""
    return tuple(
        TensorSpec(name=c["name"], datatype="BYTES" if c["kind"] == "category" else "FP64", shape=(-1,))
        for c in preprocessing["columns"]
    )


def feature_spec(preprocessing: Mapping[str, Any]) -> TensorSpec:
    """The engine's input: `features` FP32 [-1, features]."""
    return TensorSpec(name="features", datatype="FP32", shape=(-1, len(feature_names(preprocessing))))


def feature_names(preprocessing: Mapping[str, Any]) -> list[str]:
    """One name a feature, in order, as "colour=red"."""
    numbers = preprocessing["numbers"]
    names = list(numbers["names"])
    names += [f"{name} is missing" for name, shown in zip(names, numbers["indicator"], strict=True) if shown]
    for name in preprocessing["timestamps"]["names"]:
        names += [f"{name}.days", f"{name}.month", f"{name}.weekday", f"{name}.hour"]
    for category in preprocessing["categories"]:
        names += [f"{category['name']}={value}" for value in category["values"]]
        names += [f"{category['name']} is missing"] if category["missing"] else []
        names.append(f"{category['name']} is other")
    return names


def sample(inputs: Any) -> dict[str, Any]:
    """{"column": [values]} (a single value is one row), the same below "data" or "table", or a list of rows
    [{"column": value}]."""
    if isinstance(inputs, Mapping) and len(inputs) == 1:
        (inner,) = inputs.values()
        if next(iter(inputs)) in ("data", "table") and isinstance(inner, Mapping | list):
            inputs = inner if isinstance(inner, Mapping) or _are_rows(inner) else inputs
    if _are_rows(inputs):
        return _rows_to_columns(inputs)
    if not isinstance(inputs, Mapping):
        allowed = '{"column": [values]} or [{"column": value}]'
        raise InvalidInput("inputs are not a table", came=type(inputs).__name__, allowed=allowed)
    return {str(k): list(v) if isinstance(v, list | tuple) else [v] for k, v in inputs.items()}


class PreparedTable:
    """See `contract.Prepared`. One row costs a few array calls, however many number columns there are."""

    def __init__(self, preprocessing: Mapping[str, Any]) -> None:
        self._kinds = {c["name"]: c["kind"] for c in preprocessing["columns"]}
        numbers = preprocessing["numbers"]
        self._numbers: list[str] = numbers["names"]
        self._timestamps: list[str] = preprocessing["timestamps"]["names"]
        self._fill, self._center, self._scale = (_row(numbers[k]) for k in ("fill", "center", "scale"))
        self._indicator = np.array(numbers["indicator"], dtype=bool)
        time = preprocessing["timestamps"]
        self._time_center, self._time_scale = _row(time["center"]), _row(time["scale"])
        self._categories = [_Category(c) for c in preprocessing["categories"]]

    def decode(self, columns: Columns) -> dict[str, Array]:
        """Lists or arrays of values into [rows] arrays; None is a missing value."""
        self._check_names(columns)
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1 or 0 in lengths.values():
            short = dict(sorted(lengths.items(), key=lambda pair: pair[1])[:3])
            raise InvalidInput("columns need the same number of rows, 1 or more", came=short)
        numbers = self._decoded_numbers(columns)
        return numbers | {c.name: as_category(c.name, columns[c.name]) for c in self._categories}

    def transform(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """`arrays` [rows] each into {"features": float32 [rows, features]}."""
        self._check_names(arrays)
        parts = [self._number_features(arrays)] if self._numbers or self._timestamps else []
        parts += [category.one_hot(arrays[category.name]) for category in self._categories]
        if len({len(part) for part in parts}) > 1:
            raise InvalidInput("columns need the same number of rows", came=[len(part) for part in parts])
        features = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return {"features": features}

    def _check_names(self, given: Mapping[str, Any]) -> None:
        if given.keys() == self._kinds.keys():
            return
        missing = [name for name in self._kinds if name not in given]
        extra = [name for name in given if name not in self._kinds]
        what = f"columns are missing: {missing[:10]}" if missing else f"unknown columns: {extra[:10]}"
        raise InvalidInput(what, came=sorted(given)[:50], allowed=list(self._kinds))

    def _decoded_numbers(self, columns: Columns) -> dict[str, Array]:
        names = self._numbers + self._timestamps
        values = [columns[name] for name in names]
        if all(type(v) is list for v in values) and (matrix := plain_matrix(values)) is not None:
            return dict(zip(names, matrix, strict=True))
        return {name: as_number(name, self._kinds[name], columns[name]) for name in names}

    def _number_features(self, arrays: Mapping[str, Array]) -> npt.NDArray[np.float32]:
        names = self._numbers + self._timestamps
        try:
            x = np.array([arrays[name] for name in names], dtype=np.float64).T
        except (TypeError, ValueError):
            shapes = {name: list(arrays[name].shape) for name in names}
            raise InvalidInput("number columns need one shape, [rows]", came=shapes) from None
        if x.ndim != 2 or not len(x):
            raise InvalidInput("number columns need the shape [rows], 1 or more", came=list(x.shape))
        count = len(self._numbers)
        plain, missing = x[:, :count], np.isnan(x[:, :count])
        parts = [(np.where(missing, self._fill, plain) - self._center) / self._scale]
        if self._indicator.any():
            parts.append(missing[:, self._indicator])
        if self._timestamps:
            parts.append(self._time_features(x[:, count:]))
        with np.errstate(over="ignore"):
            features = (
                np.concatenate(parts, axis=1).astype(np.float32) if len(parts) > 1 else _single(parts[0])
            )
        if not np.isfinite(features).all():
            raise InvalidInput(
                "number columns hold values that are infinite or too large", allowed="finite numbers"
            )
        return features

    def _time_features(self, seconds: Matrix) -> Matrix:
        raw = _time_parts(seconds)
        return (np.where(np.isnan(raw), self._time_center, raw) - self._time_center) / self._time_scale


class _Category:
    """One category column: a feature a kept value, one for missing where training had some, one for the
    rest."""

    def __init__(self, fitted: Mapping[str, Any]) -> None:
        self.name: str = fitted["name"]
        values: list[str] = fitted["values"]
        self._other = len(values) + bool(fitted["missing"])
        self._eye = np.eye(self._other + 1, dtype=np.float32)
        missing = len(values) if fitted["missing"] else self._other
        self._places: dict[Any, int] = {None: missing, b"": missing, "": missing}
        for place, value in enumerate(values):
            self._places[value] = self._places[value.encode()] = place

    def one_hot(self, column: Array) -> npt.NDArray[np.float32]:
        if column.ndim != 1 or column.dtype != object:
            raise InvalidInput(
                f"column {self.name!r} needs text of the shape [rows]", came=list(column.shape)
            )
        places, other = self._places, self._other
        return self._eye[[places.get(value, other) for value in column.tolist()]]


def net_training(net: str) -> dict[str, Any]:
    """A recipe's `training` for tables: nets that are trained in epochs have some, estimators none."""
    if net != "mlp":
        return {}
    return {
        "optimizer": "adamw",
        "learning_rate": 0.003,
        "weight_decay": 0.01,
        "batch_size": 32,
        "early_stopping": {"patience": 15},
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
    raw = _time_parts(np.stack([as_number(c.name, c.kind, columns[c.name]) for c in kinds], axis=1))
    known = ~np.isnan(raw)
    count = np.maximum(known.sum(axis=0), 1)
    center = np.where(known, raw, 0).sum(axis=0) / count
    scale = np.sqrt((np.where(known, raw - center, 0) ** 2).sum(axis=0) / count)
    scale = np.where(scale > 0, scale, 1.0)
    return {"names": [c.name for c in kinds], "center": center.tolist(), "scale": scale.tolist()}


def _time_parts(seconds: Matrix) -> Matrix:
    """[rows, columns] of seconds since the epoch (UTC) into [rows, columns * 4]; NaN stays."""
    known = np.isfinite(seconds) & (np.abs(seconds) < 1e12)
    whole = np.where(known, seconds, 0).astype(np.int64)
    days, second = np.divmod(whole, 86_400)
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    parts = np.stack([days, months, (days + 3) % 7, second // 3600], axis=2).astype(np.float64)
    parts[~known] = np.nan
    return parts.reshape(len(seconds), seconds.shape[1] * _PARTS)


def _fit_category(name: str, values: Any, given: TableOptions) -> dict[str, Any]:
    """Kept values by falling frequency, then by name."""
    cells = [cell.decode() for cell in as_category(name, values).tolist() if cell]
    counts: dict[str, int] = {}
    for cell in cells:
        counts[cell] = counts.get(cell, 0) + 1
    least = given.min_frequency if given.min_frequency >= 1 else given.min_frequency * len(values)
    kept = sorted((v for v, n in counts.items() if n >= least), key=lambda v: (-counts[v], v))
    return {"name": name, "values": kept[: given.max_categories], "missing": len(cells) < len(values)}


def _are_rows(inputs: Any) -> bool:
    return isinstance(inputs, list) and bool(inputs) and all(isinstance(row, Mapping) for row in inputs)


def _rows_to_columns(rows: list[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = rows[0].keys()
    for number, row in enumerate(rows):
        if row.keys() != names:
            raise InvalidInput(
                f"row {number} has other columns than row 0", came=sorted(row), allowed=sorted(names)
            )
    return {str(name): [row[name] for row in rows] for name in names}


def _row(values: list[float]) -> Matrix:
    return np.array(values, dtype=np.float64)


def _single(features: Matrix) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(features, dtype=np.float32)
