"""Splits: shares, classes in proportion, seeds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.datasets import splits
from modelyard.datasets.splits import UNKNOWN, assign, assign_by_order, complete, count
from modelyard.errors import InvalidInput

FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}


@given(
    sizes=st.lists(st.integers(2, 60), min_size=1, max_size=12).filter(lambda sizes: sum(sizes) >= 30),
    seed=st.integers(0, 2**32),
)
def test_each_class_is_within_one_of_its_share_and_in_train(sizes, seed):
    classes = (
        np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.int16)
    )
    codes = assign(len(classes), classes, [str(place) for place in range(len(sizes))], FRACTIONS, seed)
    for place, size in enumerate(sizes):
        found = np.bincount(codes[classes == place], minlength=3)
        assert found[0] >= 1
        assert found[1] <= size * 0.1 + 1
        assert found[2] <= size * 0.1 + 1
    total = count(codes)
    assert abs(total["validation"] - 0.1 * len(classes)) <= 1
    assert sum(total.values()) == len(classes)


def test_the_seed_decides():
    first, again, other = (assign(500, None, (), FRACTIONS, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert count(first) == {"train": 400, "validation": 50, "test": 50}


def test_many_rows_are_drawn_one_by_one(monkeypatch):
    monkeypatch.setattr(splits, "PERMUTED_ROWS", 1000)
    classes = (np.arange(200_000) % 2).astype(np.int16)
    found = count(assign(200_000, classes, ("a", "b"), FRACTIONS, 0))
    assert found["test"] == pytest.approx(20_000, rel=0.02)
    assert found["validation"] == pytest.approx(20_000, rel=0.02)


def test_a_class_with_one_row_is_named():
    classes = np.array([0] * 50 + [1], np.int16)
    with pytest.raises(InvalidInput, match=r"one row of class 'rare'.*stratify: false"):
        assign(51, classes, ("common", "rare"), FRACTIONS, 0)


def test_a_split_that_would_be_empty():
    with pytest.raises(
        InvalidInput, match=r"split 'validation' would be empty; came: 4 rows in shares of train 0.8"
    ):
        assign(4, None, (), FRACTIONS, 0)
    assert count(assign(4, None, (), {"train": 0.5, "test": 0.5}, 0)) == {
        "train": 2,
        "validation": 0,
        "test": 2,
    }


def test_given_splits_are_kept_and_lacking_ones_carved():
    given_codes = np.array([0] * 100 + [2] * 7, np.int8)
    codes = complete(given_codes, None, FRACTIONS, 0)
    assert count(codes) == {"train": 90, "validation": 10, "test": 7}
    assert np.array_equal(codes == 2, given_codes == 2)
    assert complete(given_codes, None, {"train": 1.0}, 0) is given_codes
    with pytest.raises(InvalidInput, match="no row to the split 'train'; came: 3 rows for test"):
        complete(np.full(3, 2, np.int8), None, FRACTIONS, 0)
    with pytest.raises(InvalidInput, match="split 'validation' would be empty"):
        complete(np.array([0, 0, 2], np.int8), None, FRACTIONS, 0)
    assert UNKNOWN not in codes


def test_the_last_rows_of_an_order_are_the_test_split():
    order = np.random.default_rng(0).permutation(100).astype(float)
    codes = assign_by_order(order, FRACTIONS)
    assert count(codes) == {"train": 80, "validation": 10, "test": 10}
    assert order[codes == 0].max() < order[codes == 1].min()
    assert order[codes == 1].max() < order[codes == 2].min()


def test_rows_of_one_time_are_not_torn_apart():
    order = np.repeat(np.arange(10.0), 7)
    codes = assign_by_order(order, {"train": 0.75, "test": 0.25})
    assert all(len(set(codes[order == time].tolist())) == 1 for time in range(10))
    assert set(codes.tolist()) == {0, 2}


def test_an_order_of_too_few_values_leaves_a_split_empty():
    with pytest.raises(InvalidInput, match="split 'validation' would be empty"):
        assign_by_order(np.repeat([1.0, 2.0], [9, 1]), FRACTIONS)
