"""Axis-aligned boxes [..., 4] of xmin, ymin, xmax, ymax: how much two of them share, and which of many are kept."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]


def corners(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """COCO's x, y, width, height [..., 4] as xmin, ymin, xmax, ymax."""
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def iou(one: Floats, other: Floats) -> Floats:
    """Intersection over union of each of `one` [..., n, 4] with each of `other` [..., m, 4]: [..., n, m] of 0 to
    1; 0 where both are empty."""
    width, height = (_shared(one[..., [k, k + 2]], other[..., [k, k + 2]]) for k in (0, 1))
    shared = width * height
    union = _area(one)[..., :, None] + _area(other)[..., None, :] - shared
    found: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return found


def kept(boxes: Floats, classes: npt.NDArray[np.int64], overlap: float) -> npt.NDArray[np.bool_]:
    """Greedy non-maximum suppression a class: which of `boxes` [n, 4], the surest first, share no more than
    `overlap` (their IoU) with a surer one that is kept.

    It is found as the fixed point of "kept is what no kept one hits" (Cluster-NMS: Zheng et al. 2022, Enhancing
    Geometric Factors in Model Learning and Inference, section 3.4), which ends after as many rounds as the longest
    chain of hits has links, at most n, at what the greedy loop finds.
    """
    hits = np.triu((iou(boxes, boxes) > overlap) & (classes[:, None] == classes), 1)
    found = np.ones(len(boxes), np.bool_)
    while True:
        now = ~hits[found].any(axis=0)
        if np.array_equal(now, found):
            return found
        found = now


def suppress(
    boxes: Floats, scores: Floats, *, most: int, least: float, overlap: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """What a detector says of every place, `boxes` [places, 4] and `scores` [places, classes], as its `most` surest
    detections: boxes [most, 4], scores [most] falling, classes [most]. Places that are not needed have score 0 and
    class -1.

    least    scores below are no detections; one place may be a detection of several classes
    overlap  see `kept`
    """
    places, classes = np.nonzero(scores >= least)
    sure = scores[places, classes]
    first = np.argsort(-sure, kind="stable")[: 4 * most]
    places, classes, sure = places[first], classes[first], sure[first]
    chosen = np.flatnonzero(kept(boxes[places], classes, overlap))[:most]
    found = np.zeros((most, 4), np.float32), np.zeros(most, np.float32), np.full(most, -1, np.int64)
    found[0][: len(chosen)] = boxes[places[chosen]]
    found[1][: len(chosen)], found[2][: len(chosen)] = sure[chosen], classes[chosen]
    return found


def _shared(one: Floats, other: Floats) -> Floats:
    """Lengths that spans [..., n, 2] and [..., m, 2] of first and last share: [..., n, m]."""
    last = np.minimum(one[..., :, None, 1], other[..., None, :, 1])
    found: Floats = np.maximum(last - np.maximum(one[..., :, None, 0], other[..., None, :, 0]), 0)
    return found


def _area(boxes: Floats) -> Floats:
    return np.maximum(boxes[..., 2] - boxes[..., 0], 0) * np.maximum(boxes[..., 3] - boxes[..., 1], 0)
