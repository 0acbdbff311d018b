"""Rows of a table: fitted preprocessing, and columns into one feature matrix.

Number columns (integers, booleans as 0 and 1, timestamps as seconds since the epoch, too) travel as FP64
with NaN for missing, categories as BYTES with an empty value for missing. Features are float32, in this
order: numbers (imputed and scaled), indicators of missing numbers, timestamp parts, then each category
one-hot.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput
from modelyard.tasks import timestamps
from modelyard.tasks.cells import as_category, as_number, plain_matrix
from modelyard.tasks.contract import Array, Columns
from modelyard.tasks.timestamps import Matrix
from modelyard.types.dataset import Schema
from modelyard.types.tensor import TensorSpec

NUMBER_KINDS: Final = ("number", "integer", "boolean", "timestamp")


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
        names += [f"{name}.{part}" for part in timestamps.PARTS]
    for category in preprocessing["categories"]:
        names += [f"{category['name']}={value}" for value in category["values"]]
        names += [f"{category['name']} is missing"] if category["missing"] else []
        names.append(f"{category['name']} is other")
    return names


def category_widths(preprocessing: Mapping[str, Any]) -> list[int]:
    """Features of each category column, which are the last ones, in order."""
    return [len(c["values"]) + bool(c["missing"]) + 1 for c in preprocessing.get("categories", ())]


def sample(inputs: Any) -> dict[str, Any]:
    """{"column": [values]} (a single value is one row), the same below "data" or "table", or a list of rows
    [{"column": value}]."""
    if isinstance(inputs, Mapping) and len(inputs) == 1:
        (inner,) = inputs.values()
        if next(iter(inputs)) in ("data", "table") and isinstance(inner, Mapping | list):
            inputs = inner if isinstance(inner, Mapping) or _are_rows(inner) else inputs
    if _are_rows(inputs):
        return rows_to_columns(inputs)
    if not isinstance(inputs, Mapping):
        allowed = '{"column": [values]} or [{"column": value}]'
        raise InvalidInput("inputs are not a table", came=type(inputs).__name__, allowed=allowed)
    return {str(k): list(v) if isinstance(v, list | tuple) else [v] for k, v in inputs.items()}


class PreparedTable:
    """See `contract.Prepared`. One row costs a few array calls, however many number columns there are."""

    def __init__(self, preprocessing: Mapping[str, Any]) -> None:
        self._kinds = {c["name"]: c["kind"] for c in preprocessing["columns"]}
        self._unused = frozenset(preprocessing.get("unused", ()))
        numbers = preprocessing["numbers"]
        self._numbers: list[str] = numbers["names"]
        self._timestamps: list[str] = preprocessing["timestamps"]["names"]
        self._fill, self._center, self._scale = (_row(numbers[k]) for k in ("fill", "center", "scale"))
        self._indicator = np.array(numbers["indicator"], dtype=bool)
        time = preprocessing["timestamps"]
        self._time_center, self._time_scale = _row(time["center"]), _row(time["scale"])
        self._categories = [_Category(c) for c in preprocessing["categories"]]

    def decode(self, columns: Columns) -> dict[str, Array]:
        """Lists or arrays of values into [rows] arrays; None is a missing value. Columns of the data set that
        the model does not use (its target, free text) may come along and are not read."""
        if columns.keys() != self._kinds.keys():
            columns = {name: values for name, values in columns.items() if name not in self._unused}
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
        raw = timestamps.parts(seconds)
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


def _are_rows(inputs: Any) -> bool:
    return isinstance(inputs, list) and bool(inputs) and all(isinstance(row, Mapping) for row in inputs)


def rows_to_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """All rows have the same keys. Raises InvalidInput."""
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
