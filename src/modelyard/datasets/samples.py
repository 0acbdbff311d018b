"""Rows of a split as a task's samples: one a row, or made of several rows where the task says so."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from modelyard.datasets.dataset import Dataset
from modelyard.tasks.contract import Array, Columns, Spanning, Task
from modelyard.types.dataset import SPLIT_COLUMN


def batches(
    task: Task, dataset: Dataset, split: str, preprocessing: Mapping[str, Any], target: str, rows: int
) -> Iterator[tuple[Columns, Any]]:
    """The columns that the task's `decode` takes and the target's values, `rows` samples at a time."""
    if isinstance(task, Spanning):
        columns, compared = spanning(task, dataset, split, preprocessing, target)
        for start in range(0, len(compared), rows):
            yield _taken(columns, slice(start, start + rows)), compared[start : start + rows]
        return
    features = task.features(preprocessing)
    for part in dataset.batches(split, names=list(dict.fromkeys([*features, target])), rows=rows):
        yield {name: part[name] for name in features}, part[target]


def few(
    task: Task, dataset: Dataset, split: str, preprocessing: Mapping[str, Any], target: str, most: int
) -> tuple[Columns, Any]:
    """A split's first samples, or, of those that span rows, `most` evenly spaced ones. At least one must be
    there."""
    if not isinstance(task, Spanning):
        return next(batches(task, dataset, split, preprocessing, target, most))
    columns, compared = spanning(task, dataset, split, preprocessing, target)
    chosen = np.unique(np.linspace(0, len(compared) - 1, most).round().astype(np.int64))
    return _taken(columns, chosen), compared[chosen]


def spanning(
    task: Spanning, dataset: Dataset, split: str, preprocessing: Mapping[str, Any], target: str
) -> tuple[Columns, Array]:
    """All samples of a split, which may reach into rows of the others."""
    names = list(dict.fromkeys([*task.features(preprocessing), target]))
    return task.samples(dataset.columns(None, [*names, SPLIT_COLUMN]), split, preprocessing)


def _taken(columns: Columns, rows: Any) -> Columns:
    return {name: values[rows] for name, values in columns.items()}
