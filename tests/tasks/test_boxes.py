from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coco_reference import random_boxes
from modelyard.tasks.boxes import corners, iou, kept, suppress


def test_corners_of_cocos_boxes() -> None:
    assert corners(np.array([[10.0, 20.0, 5.0, 7.0]])).tolist() == [[10, 20, 15, 27]]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ([0, 0, 10, 10], 1.0),
        ([5, 0, 15, 10], 1 / 3),
        ([10, 0, 20, 10], 0.0),
        ([2, 2, 4, 4], 0.04),
        ([30, 30, 40, 40], 0.0),
    ],
)
def test_intersection_over_union(other: list[float], expected: float) -> None:
    assert iou(np.array([[0.0, 0, 10, 10]]), np.array([other], float))[0, 0] == pytest.approx(expected)


def test_two_empty_boxes_share_nothing() -> None:
    assert iou(np.zeros((1, 4)), np.zeros((1, 4)))[0, 0] == 0


def greedy(boxes: Any, classes: Any, overlap: float) -> list[bool]:
    """As every text book writes it."""
    shared = iou(boxes, boxes)
    found: list[int] = []
    for k in range(len(boxes)):
        if all(shared[k, j] <= overlap or classes[k] != classes[j] for j in found):
            found.append(k)
    return [k in found for k in range(len(boxes))]


@given(st.integers(0, 2**32), st.integers(0, 40), st.integers(1, 3), st.floats(0.05, 0.95))
def test_suppression_is_the_greedy_one(seed: int, count: int, classes: int, overlap: float) -> None:
    random = np.random.default_rng(seed)
    boxes, numbers = random_boxes(random, count), random.integers(0, classes, count)
    assert kept(boxes, numbers, overlap).tolist() == greedy(boxes, numbers, overlap)


def test_a_chain_of_hits_keeps_every_other_box() -> None:
    left = np.arange(0.0, 90, 3)  # each shares 0.54 with the next and 0.25 with the one after
    boxes = np.stack([left, np.zeros(30), left + 10, np.full(30, 10.0)], axis=1)
    found = kept(boxes, np.zeros(30, np.int64), 0.5)
    assert found.tolist() == [k % 2 == 0 for k in range(30)]


def test_the_surest_detections_are_kept_and_the_rest_filled_up() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    scores = np.array([[0.6, 0.3], [0.7, 0.005], [0.2, 0.1]], np.float32)
    found, sure, classes = suppress(boxes, scores, most=5, least=0.15, overlap=0.5)
    assert classes.tolist() == [0, 1, 0, -1, -1]
    assert sure.tolist() == pytest.approx([0.7, 0.3, 0.2, 0, 0])
    assert found[:3].tolist() == [[1, 0, 11, 10], [0, 0, 10, 10], [50, 50, 60, 60]]
    assert suppress(boxes, scores, most=1, least=0.15, overlap=0.5)[2].tolist() == [0]
    assert suppress(boxes, scores, most=2, least=0.9, overlap=0.5)[2].tolist() == [-1, -1]
