"""How good detections are: average precision as COCO measures it (Lin et al. 2014, Microsoft COCO; the reference is
pycocotools' cocoeval.py, whose figures these are).

A detection is right where its IoU with a true box of its class reaches a threshold; each true box counts once, for
the surest detection first. The average precision of a class is the mean, over 101 recalls, of the best precision
at that recall or a higher one; mAP is its mean over the classes that have true boxes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelyard.tasks.boxes import iou
from modelyard.tasks.contract import Array
from modelyard.tasks.objects import padded

THRESHOLDS: Final = tuple(np.linspace(0.5, 0.95, 10).tolist())
RECALLS: Final = np.linspace(0.0, 1.0, 101)
_TOGETHER: Final = 256  # rows of which all boxes are compared at a time
_NONE: Final = -1.0


@dataclass(frozen=True, kw_only=True)
class Matches:
    """All detections of some rows, in the rows' order.

    scores   float64 [detections]
    classes  int64 [detections]
    right    bool [detections, thresholds]
    truths   class -> true boxes
    """

    scores: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    right: npt.NDArray[np.bool_]
    truths: Mapping[int, int]


def match(outputs: Mapping[str, Array], targets: Array, thresholds: Sequence[float] = THRESHOLDS) -> Matches:
    """Detections (`boxes` [rows, K, 4], `scores` [rows, K], `classes` [rows, K], -1 for none) against an array of
    `objects.Truth`, [rows]."""
    used = outputs["classes"] >= 0
    limits = np.minimum(np.asarray(thresholds, np.float64), 1 - 1e-10)
    right = np.zeros((*used.shape, len(limits)), np.bool_)
    for start in range(0, len(targets), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        right[part] = _right({name: array[part] for name, array in outputs.items()}, targets[part], limits)
    numbers = np.concatenate([truth.classes for truth in targets])
    return Matches(
        scores=outputs["scores"][used].astype(np.float64),
        classes=outputs["classes"][used].astype(np.int64),
        right=right[used],
        truths={int(k): int(n) for k, n in zip(*np.unique(numbers, return_counts=True), strict=True)},
    )


def average_precisions(found: Matches) -> dict[int, npt.NDArray[np.float64]]:
    """Class -> average precision at each threshold, of the classes that have true boxes."""
    order = np.argsort(-found.scores, kind="stable")
    classes, right = found.classes[order], found.right[order]
    return {k: _average(right[classes == k], truths) for k, truths in found.truths.items()}


def mean(precisions: Mapping[int, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """mAP at each threshold; 0 where there is no true box at all."""
    return np.mean(list(precisions.values()), axis=0) if precisions else np.zeros(1)


def precision_recall(right: npt.NDArray[np.bool_], truths: int) -> tuple[Any, Any]:
    """Precision and recall after each of a class's detections, the surest first. `right` is [detections] or
    [detections, thresholds], and so are they."""
    hits = np.cumsum(right, axis=0)
    count = np.arange(1, len(right) + 1).reshape(-1, *[1] * (right.ndim - 1))
    return hits / count, hits / truths


def _average(right: npt.NDArray[np.bool_], truths: int) -> npt.NDArray[np.float64]:
    precision, recall = precision_recall(right, truths)
    best = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    best = np.concatenate([best, np.zeros((1, right.shape[1]))])  # of recalls that are never reached
    places = [np.searchsorted(recall[:, t], RECALLS, side="left") for t in range(right.shape[1])]
    return np.array([best[place, t].mean() for t, place in enumerate(places)])


def _right(outputs: Mapping[str, Array], targets: Array, limits: npt.NDArray[np.float64]) -> Array:
    """bool [rows, K, thresholds]. Of all rows the surest detection takes its true box, then the second, and so
    on."""
    true_boxes, true_classes = padded(targets)
    order = np.argsort(-outputs["scores"], axis=1, kind="stable")
    classes = np.take_along_axis(outputs["classes"], order, axis=1)
    boxes = np.take_along_axis(outputs["boxes"].astype(np.float64), order[..., None], axis=1)
    same = (classes[:, :, None] == true_classes[:, None]) & (classes[:, :, None] >= 0)
    shared = np.where(same, iou(boxes, true_boxes), _NONE)
    rows, most, true_most = shared.shape
    free = np.ones((rows, len(limits), true_most), np.bool_)
    sorted_right = np.zeros((rows, most, len(limits)), np.bool_)
    for k in range(int((classes >= 0).sum(axis=1).max(initial=0))):
        open_ = np.where(free, shared[:, None, k], _NONE)
        best = true_most - 1 - open_[..., ::-1].argmax(axis=-1)  # of equals the last, as the reference takes
        value = np.take_along_axis(open_, best[..., None], axis=-1)[..., 0]
        hit = value >= limits
        sorted_right[:, k] = hit
        free &= ~(hit[..., None] & (best[..., None] == np.arange(true_most)))
    right = np.zeros_like(sorted_right)
    np.put_along_axis(right, order[..., None], sorted_right, axis=1)
    return right
