"""Our mAP is COCO's."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from coco_reference import evaluations, random_boxes, reference
from modelyard.tasks import average_precision, detection_metrics
from modelyard.tasks.objects import Truth

pytest.importorskip("pycocotools")
LABELS = ["a", "b", "c"]


def _row(*found: tuple[list[float], float, int], truth: Truth) -> tuple[dict[str, Any], Any]:
    targets = np.empty(1, object)
    targets[0] = truth
    boxes, scores, classes = zip(*found, strict=True)
    outputs = {
        "boxes": np.array([boxes], np.float32),
        "scores": np.array([scores], np.float32),
        "classes": np.array([classes], np.int64),
    }
    return outputs, targets


@settings(max_examples=150)
@given(evaluations())
def test_it_is_what_pycocotools_finds(case: tuple[dict[str, Any], Any]) -> None:
    outputs, targets = case
    expected = reference(outputs, targets)
    found = detection_metrics.detection(outputs, targets, LABELS).values
    for name, value in expected.items():
        assert found[name] == pytest.approx(max(value, 0.0), abs=1e-9), name


def test_of_many_images_with_many_boxes() -> None:
    random = np.random.default_rng(5)
    rows, most = 300, 60
    targets = np.empty(rows, object)
    boxes = np.zeros((rows, most, 4), np.float32)
    for row in range(rows):
        there = random_boxes(random, 20)
        targets[row] = Truth(there, random.integers(0, 3, 20))
        boxes[row] = np.concatenate([there + random.normal(0, 2, (20, 4)), random_boxes(random, 40)])
    boxes = np.concatenate(
        [np.minimum(boxes[..., :2], boxes[..., 2:]), np.maximum(boxes[..., :2], boxes[..., 2:])], -1
    )
    scores = np.sort(random.random((rows, most)).astype(np.float32))[:, ::-1]
    outputs = {"boxes": boxes, "scores": scores, "classes": random.integers(0, 3, (rows, most))}
    found = detection_metrics.detection(outputs, targets, LABELS).values
    for name, value in reference(outputs, targets).items():
        assert found[name] == pytest.approx(value, abs=1e-9)


def test_a_true_box_counts_once_for_the_surest() -> None:
    truth = Truth(np.array([[0.0, 0, 10, 10]]), np.array([0]))
    outputs, targets = _row(([0, 0, 10, 9], 0.9, 0), ([0, 0, 10, 10], 0.8, 0), truth=truth)
    found = average_precision.match(outputs, targets, (0.5, 0.95))
    assert found.right.tolist() == [[True, False], [False, True]]
    assert found.truths == {0: 1}


def test_a_perfect_detector_and_one_that_finds_nothing() -> None:
    truth = Truth(np.array([[0.0, 0, 10, 10], [5, 5, 20, 20]]), np.array([0, 2]))
    outputs, targets = _row(([0, 0, 10, 10], 0.9, 0), ([5, 5, 20, 20], 0.8, 2), truth=truth)
    metrics = detection_metrics.detection(outputs, targets, LABELS)
    assert metrics.values == {n: 1.0 for n in ("map_50", "map", "map_75", "precision", "recall", "f1")}
    assert metrics.per_class["b"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}
    assert metrics.per_class["c"]["average_precision"] == 1
    assert metrics.curves["precision_recall/a"] == {"x": [1.0], "y": [1.0]}
    nothing = {**outputs, "classes": np.full_like(outputs["classes"], -1)}
    assert detection_metrics.detection(nothing, targets, LABELS).values["map"] == 0


def test_without_any_true_box_it_is_0() -> None:
    none = Truth(np.zeros((0, 4)), np.zeros(0, np.int64))
    outputs, targets = _row(([0, 0, 10, 10], 0.9, 0), truth=none)
    assert detection_metrics.detection(outputs, targets, LABELS).values["map_50"] == 0
    assert average_precision.mean(
        average_precision.average_precisions(average_precision.match(outputs, targets))
    ).tolist() == [0]
