"""How sure a figure is: the percentile bootstrap (Efron and Tibshirani 1993, chapter 13)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelyard.tasks import Task
from modelyard.tasks.contract import Counting
from modelyard.types.report import Interval

Floats = npt.NDArray[np.float64]
Outputs = Mapping[str, npt.NDArray[Any]]
_DRAWS: Final = 1 << 22  # row numbers drawn at one time: 32 MiB


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """How many resamples, how wide an interval, and the seed: the same seed gives the same interval."""

    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0


def bootstrap(
    task: Task,
    outputs: Outputs,
    targets: npt.NDArray[Any],
    options: Bootstrap,
    check: Callable[[], None] | None = None,
) -> Interval:
    """The task's main figure, and its interval over resamples of the rows (with replacement).

    `outputs` are the engine's, `targets` [rows]; rows >= 1. `check` is called between chunks and may raise.
    """
    rows = len(targets)
    rng = np.random.default_rng(options.seed)
    figure = _over_rows(task, outputs, targets)
    figures: list[Floats] = []
    chunk = max(1, _DRAWS // rows)
    for start in range(0, options.resamples, chunk):
        if check is not None:
            check()
        figures.append(figure(rng.integers(0, rows, size=(min(chunk, options.resamples - start), rows))))
    tail = (1 - options.confidence) / 2
    low, high = np.quantile(np.concatenate(figures), [tail, 1 - tail])
    return Interval(
        value=task.main(outputs, targets),
        low=float(low),
        high=float(high),
        confidence=options.confidence,
        resamples=options.resamples,
        seed=options.seed,
    )


def _over_rows(
    task: Task, outputs: Outputs, targets: npt.NDArray[Any]
) -> Callable[[npt.NDArray[np.int64]], Floats]:
    """Row numbers [resamples, rows] to figures [resamples].

    A mean over rows needs one number a row, which is a hundred times faster than to ask the task.
    """
    if task.main_metric == "accuracy" and "probabilities" in outputs:
        right = (outputs["probabilities"].argmax(axis=1) == targets).astype(np.float64)
        return lambda picks: right[picks].mean(axis=1)
    if task.main_metric == "rmse" and "prediction" in outputs:
        squares = (outputs["prediction"].astype(np.float64) - targets) ** 2
        return lambda picks: np.sqrt(squares[picks].mean(axis=1))
    if isinstance(task, Counting):
        part, whole = task.counts(outputs, targets)
        return lambda picks: part[picks].sum(axis=1) / np.maximum(whole[picks].sum(axis=1), 1)
    return lambda picks: np.array(
        [task.main({name: values[pick] for name, values in outputs.items()}, targets[pick]) for pick in picks]
    )
