import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from modelyard.errors import InvalidInput, UnknownName
from modelyard.training.class_weights import class_weights

TARGETS = np.array([0] * 6 + [1] * 3 + [2])


def test_balanced_is_scikit_learns() -> None:
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=TARGETS)
    found = class_weights("balanced", TARGETS, 3, ("a", "b", "c"))
    assert found == pytest.approx(theirs, rel=1e-6)
    assert found[TARGETS].mean() == pytest.approx(1)


def test_a_class_without_rows_leaves_the_others_as_they_are() -> None:
    found = class_weights("balanced", TARGETS, 4, ("a", "b", "c", "d"))
    assert found[:3].tolist() == class_weights("balanced", TARGETS, 3, ("a", "b", "c")).tolist()
    assert found[3] == 1


def test_a_mapping_by_label() -> None:
    assert class_weights({"c": 5.0}, TARGETS, 3, ("a", "b", "c")).tolist() == [1, 1, 5]
    with pytest.raises(
        UnknownName, match=r"unknown label 'cc' in recipe.training.class_weights; did you mean 'c'"
    ):
        class_weights({"cc": 5.0}, TARGETS, 3, ("a", "b", "c"))
    with pytest.raises(InvalidInput, match=r"class_weights.a must be above 0; came: -1"):
        class_weights({"a": -1.0}, TARGETS, 3, ("a", "b", "c"))
