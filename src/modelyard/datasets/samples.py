"""Rows of a split as a task's samples: one a row, or made of several rows where the task says so."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from modelyard.datasets.dataset import Dataset
from modelyard.tasks.contract import Array, Columns, Spanning, Task
from modelyard.types.dataset import SPLIT_COLUMN

Target = str | tuple[str, ...]
"""The column to predict, or several."""


def batches(
    task: Task, dataset: Dataset, split: str, preprocessing: Mapping[str, Any], target: Target, rows: int
) -> Iterator[tuple[Columns, Any]]:
    """The columns that the task's `decode` takes and the target's values, `rows` samples at a time."""
    if isinstance(task, Spanning):
        columns, compared = spanning(task, dataset, split, preprocessing, target)
        for start in range(0, len(compared), rows):
            yield _taken(columns, slice(start, start + rows)), compared[start : start + rows]
        return
    features = task.features(preprocessing)
    for part in dataset.batches(split, names=_names(features, target), rows=rows):
        yield {name: part[name] for name in features}, values_of(part, target)


def few(
    task: Task, dataset: Dataset, split: str, preprocessing: Mapping[str, Any], target: Target, most: int
) -> tuple[Columns, Any]:
    """A split's first samples, or, of those that span rows, `most` evenly spaced ones. At least one must be
    there."""
    if not isinstance(task, Spanning):
        return next(batches(task, dataset, split, preprocessing, target, most))
    columns, compared = spanning(task, dataset, split, preprocessing, target)
    chosen = np.unique(np.linspace(0, len(compared) - 1, most).round().astype(np.int64))
    return _taken(columns, chosen), compared[chosen]


def spanning(
    task: Spanning, dataset: Dataset, split: str, preprocessing: Mapping[str, Any], target: Target
) -> tuple[Columns, Array]:
    """All samples of a split, which may reach into rows of the others."""
    names = _names(task.features(preprocessing), target)
    return task.samples(dataset.columns(None, [*names, SPLIT_COLUMN]), split, preprocessing)


def values_of(columns: Columns, target: Target) -> Any:
    """The target's column, or of several {target: column}."""
    return columns[target] if isinstance(target, str) else {name: columns[name] for name in target}


def _names(features: list[str], target: Target) -> list[str]:
    return list(dict.fromkeys([*features, *([target] if isinstance(target, str) else target)]))


def _taken(columns: Columns, rows: Any) -> Columns:
    return {name: values[rows] for name, values in columns.items()}
