from typing import Any

import numpy as np
import pytest

from modelyard.errors import InvalidInput
from modelyard.tasks import objects

TWO = '{"bbox": [[1, 2, 3, 4], [0.5, 0, 10, 20]], "categories": ["cat", "dog"]}'
NONE = '{"bbox": [], "categories": []}'


def test_boxes_are_read_as_corners() -> None:
    (found,) = objects.read([TWO])
    assert found.boxes.tolist() == [[1, 2, 4, 6], [0.5, 0, 10.5, 20]]
    assert found.names == ("cat", "dog")


@pytest.mark.parametrize(
    "value",
    [
        '{"bbox": [[1, 2, 3, 4]], "category": [7], "id": [3], "area": [12]}',
        {"bbox": [[1, 2, 3, 4]], "categories": ["7"]},
    ],
)
def test_other_spellings(value: Any) -> None:
    (found,) = objects.read([value])
    assert (found.boxes.tolist(), found.names) == ([[1, 2, 4, 6]], ("7",))


def test_an_image_may_have_no_object() -> None:
    (found,) = objects.read([NONE])
    assert found.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "row 1 says nothing of its objects"),
        ("cat", "the objects of row 1 are not of their form"),
        ("[1, 2]", "the objects of row 1 are not of their form"),
        ('{"bbox": [[1, 2, 3]], "categories": ["a"]}', "the objects of row 1 are not of their form"),
        ('{"categories": ["a"]}', "missing required field `bbox`"),
        (7, "the objects of row 1 are not of their form"),
        ('{"bbox": [[1, 2, 3, 4]], "categories": []}', "row 1 has not one category for each box"),
        ('{"bbox": [[1, 2, 3, 4]]}', "1 boxes, 0 categories"),
        ('{"bbox": [[1, 2, 0, 4]], "categories": ["a"]}', r"a box has no area; came: .* in row 1"),
        ('{"bbox": [[1, 2, 3, -4]], "categories": ["a"]}', "a box has no area"),
    ],
)
def test_what_is_wrong_is_said_with_its_row(value: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        objects.read([NONE, value])


def test_names_are_sorted_and_numbers_by_value() -> None:
    column = ['{"bbox": [[1,2,3,4],[1,2,3,4],[1,2,3,4]], "categories": [10, 9, "a"]}', NONE]
    assert objects.class_names(column) == ("9", "10", "a")


def test_truths_have_numbers_of_the_labels() -> None:
    found = objects.truths([TWO, NONE], ["dog", "cat"])
    assert found[0].classes.tolist() == [1, 0]
    assert found[1].classes.tolist() == []
    with pytest.raises(InvalidInput, match=r"unknown classes; came: \['dog'\]; allowed: cat"):
        objects.truths([TWO], ["cat"])


def test_rows_are_filled_up() -> None:
    boxes, classes = objects.padded(objects.truths([NONE, TWO], ["cat", "dog"]))
    assert boxes.shape == (2, 2, 4)
    assert classes.tolist() == [[-1, -1], [0, 1]]
    assert not boxes[0].any()
    boxes, classes = objects.padded(objects.truths([NONE], ["cat"]))
    assert (boxes.shape, classes.tolist()) == ((1, 1, 4), [[-1]])
    assert np.dtype("float64") == boxes.dtype
