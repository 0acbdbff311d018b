"""Counting in bounded memory, beside counting exactly."""

import numpy as np
import pyarrow as pa
import pytest

from modelyard.datasets.sketch import DistinctCount, RowCounts, hash_rows, hash_values


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1.5, None, 0.0, -0.0, 2.5]),
        pa.array([1, None, 0, 0, 2]),
        pa.array(["a", None, "", "", "b"]),
        pa.array([b"a", None, b"", b"", b"b"]),
        pa.array([5, None, 3, 3, 4], pa.timestamp("us")),
    ],
)
def test_equal_values_have_equal_hashes(array):
    hashes = hash_values(array)
    assert hashes[2] == hashes[3]
    assert len(set(hashes.tolist())) == 4
    assert np.array_equal(hash_values(array.slice(1)), hashes[1:])


def test_rows_are_told_apart_by_place():
    one, other = hash_values(pa.array(["a", "b"])), hash_values(pa.array(["b", "a"]))
    assert len(set(hash_rows([one, other])) | set(hash_rows([other, one]))) == 2
    assert hash_rows([one, one])[0] != hash_rows([one, other])[0]


@pytest.mark.parametrize("distinct", [0, 1, 500, 1000])
def test_distinct_values_are_exact_up_to_the_limit(distinct):
    counted = DistinctCount(limit=1000)
    for part in np.array_split(np.tile(np.arange(distinct), 3), 7):
        counted.add(hash_values(pa.array(part)))
    assert (counted.value, counted.is_exact) == (distinct, True)


def test_distinct_values_above_the_limit_are_estimated():
    counted = DistinctCount(limit=4096)
    for part in np.array_split(np.random.default_rng(0).integers(0, 200_000, 1_000_000), 30):
        counted.add(hash_values(pa.array(part)))
    assert not counted.is_exact
    assert counted.value == pytest.approx(198_650, rel=0.05)  # 1.6 % is one standard error


def repeated_rows():
    """100,000 rows, of which 20,000 repeat others; 3,000 of test stand in train."""
    ids = np.concatenate([np.arange(80_000), np.arange(17_000), np.arange(20_000, 23_000)])
    splits = np.concatenate([np.zeros(97_000), np.full(3000, 2)]).astype(np.int8)
    return hash_values(pa.array(ids)), splits


def add_in_parts(counts, hashes, splits):
    for rows in np.array_split(np.random.default_rng(0).permutation(len(hashes)), 9):
        counts.add(hashes[rows], splits[rows])


def test_repeated_and_shared_rows_are_exact_up_to_the_limit():
    counts = RowCounts(3)
    add_in_parts(counts, *repeated_rows())
    assert not counts.sampled
    assert counts.duplicates() == 20_000
    assert [counts.shared(0, 1), counts.shared(0, 2), counts.shared(2, 0)] == [0, 3000, 3000]


def test_above_the_limit_they_are_estimated_from_whole_groups_of_copies():
    counts = RowCounts(3, limit=20_000)
    add_in_parts(counts, *repeated_rows())
    assert counts.sampled
    assert counts.duplicates() == pytest.approx(20_000, rel=0.06)
    assert counts.shared(0, 2) == pytest.approx(3000, rel=0.12)
