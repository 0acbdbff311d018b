"""COCO's own evaluation of what a detector found, and detections made up by hypothesis."""

import contextlib
import io
from typing import Any

import numpy as np
from hypothesis import strategies

from modelyard.tasks.objects import Truth

CLASSES = 3


def reference(outputs: dict[str, Any], targets: Any) -> dict[str, float]:
    """map, map_50 and map_75 by pycocotools. It has -1 where there is no true box at all."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truths = [
        {"image_id": row, "category_id": int(k), "bbox": _sides(box), "area": _area(box), "iscrowd": 0}
        for row, truth in enumerate(targets)
        for box, k in zip(truth.boxes, truth.classes, strict=True)
    ]
    found = [
        {"image_id": row, "category_id": int(k), "bbox": _sides(box), "score": float(score)}
        for row in range(len(targets))
        for box, score, k in zip(
            outputs["boxes"][row], outputs["scores"][row], outputs["classes"][row], strict=True
        )
        if k >= 0
    ]
    numbers = {one["category_id"] for one in (*truths, *found)}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": row} for row in range(len(targets))],
            "categories": [{"id": k} for k in sorted(numbers)],
            "annotations": [{"id": 1 + k, **truth} for k, truth in enumerate(truths)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found) if found else COCO(), "bbox")
        if not found:
            evaluation.cocoDt.dataset = {"images": [], "annotations": [], "categories": []}
            evaluation.cocoDt.createIndex()
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(("map", "map_50", "map_75"), map(float, evaluation.stats[:3]), strict=True))


@strategies.composite
def evaluations(draw: Any) -> tuple[dict[str, Any], Any]:
    """A few images with true boxes and detections: some near a true box, some anywhere, scores with ties."""
    rows, most = draw(strategies.integers(1, 4)), draw(strategies.integers(1, 12))
    random = np.random.default_rng(draw(strategies.integers(0, 2**32)))
    targets = np.empty(rows, object)
    boxes, scores = np.zeros((rows, most, 4), np.float32), np.zeros((rows, most), np.float32)
    classes = np.full((rows, most), -1, np.int64)
    for row in range(rows):
        there = random_boxes(random, int(random.integers(0, 6)))
        targets[row] = Truth(there, random.integers(0, CLASSES, len(there)))
        found = int(random.integers(0, most + 1))
        for k in range(found):
            near = len(there) and random.random() < 0.7
            pick = random.integers(len(there)) if near else 0
            box = there[pick] + random.normal(0, 3, 4) if near else random_boxes(random, 1)[0]
            boxes[row, k] = [*np.minimum(box[:2], box[2:]), *np.maximum(box[:2], box[2:])]
            right = near and random.random() < 0.8
            classes[row, k] = targets[row].classes[pick] if right else random.integers(0, CLASSES)
        scores[row, :found] = np.sort(np.round(random.random(found) * 0.98 + 0.01, draw_digits(random)))[::-1]
    return {"boxes": boxes, "scores": scores, "classes": classes}, targets


def draw_digits(random: np.random.Generator) -> int:
    """One digit makes many equal scores."""
    return int(random.choice([1, 6]))


def random_boxes(random: np.random.Generator, count: int) -> Any:
    """Boxes on whole pixels, so that equal ones and equal overlaps occur."""
    corner, size = random.integers(0, 60, (count, 2)), random.integers(4, 40, (count, 2))
    return np.concatenate([corner, corner + size], axis=1).astype(np.float64)


def _sides(box: Any) -> list[float]:
    left, top, right, bottom = (float(side) for side in box)
    return [left, top, right - left, bottom - top]


def _area(box: Any) -> float:
    _, _, width, height = _sides(box)
    return width * height
