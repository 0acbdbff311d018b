"""Every figure of a detector."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from modelyard.tasks.average_precision import (
    THRESHOLDS,
    Matches,
    average_precisions,
    match,
    mean,
    precision_recall,
)
from modelyard.tasks.contract import Array
from modelyard.types.report import Metrics

SURE: Final = 0.5
"""The score from which precision and recall count a detection; what callers get unless they ask for another."""
_CURVE_POINTS: Final = 200
_IOU_75: Final = 5  # its place among the thresholds


def detection(outputs: Mapping[str, Array], targets: Array, labels: Sequence[str]) -> Metrics:
    """mAP at an IoU of 0.5 (`map_50`), of 0.75, and the mean over 0.5 to 0.95 (`map`); precision, recall and F1 of
    detections with a score of SURE or more at an IoU of 0.5; a curve of precision and recall for each class."""
    found = match(outputs, targets)
    precisions = average_precisions(found)
    at = mean(precisions) if precisions else np.zeros(len(THRESHOLDS))
    sure = found.scores >= SURE
    counts = {k: _counts(found, sure, k) for k in range(len(labels))}
    total = tuple(sum(part) for part in zip(*counts.values(), strict=True)) if counts else (0, 0, 0)
    precision, recall, f1 = _rates(*total)
    values = {
        "map_50": float(at[0]),
        "map": float(at.mean()),
        "map_75": float(at[_IOU_75]),
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }
    per_class: dict[str, dict[str, float]] = {}
    for k, label in enumerate(labels):
        rates = dict(zip(("precision", "recall", "f1"), _rates(*counts[k]), strict=True))
        average = {"average_precision": float(precisions[k][0])} if k in precisions else {}
        per_class[label] = {**rates, **average, "support": float(counts[k][2])}
    return Metrics(
        main="map_50",
        higher_is_better=True,
        values=values,
        per_class=per_class,
        curves={f"precision_recall/{labels[k]}": _curve(found, k) for k in sorted(found.truths)},
    )


def _counts(found: Matches, sure: Array, k: int) -> tuple[int, int, int]:
    """Right detections, detections and true boxes of a class."""
    chosen = sure & (found.classes == k)
    return int(found.right[chosen, 0].sum()), int(chosen.sum()), found.truths.get(k, 0)


def _rates(right: int, detections: int, truths: int) -> tuple[float, float, float]:
    """Precision, recall and F1, 0 where their denominator is."""
    return right / max(detections, 1), right / max(truths, 1), 2 * right / max(detections + truths, 1)


def _curve(found: Matches, k: int) -> dict[str, list[float]]:
    """Recall along, precision up, at an IoU of 0.5; at most _CURVE_POINTS, evenly spaced."""
    chosen = np.flatnonzero(found.classes == k)
    chosen = chosen[np.argsort(-found.scores[chosen], kind="stable")]
    precision, recall = precision_recall(found.right[chosen, 0], found.truths[k])
    shown = np.unique(
        np.linspace(0, max(0, len(recall) - 1), min(len(recall), _CURVE_POINTS)).astype(np.int64)
    )
    return {"x": recall[shown].tolist(), "y": precision[shown].tolist()}
