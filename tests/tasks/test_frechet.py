"""The distance of two normal distributions, against scipy's root of a matrix."""

import numpy as np
import pytest

from modelyard.tasks import frechet


def cloud(rows: int, width: int, seed: int, shift: float = 0.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.standard_normal((rows, width)) @ random.standard_normal((width, width)) + shift


def test_it_is_what_the_formula_says() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    one, other = cloud(400, 6, 1), cloud(300, 6, 2, shift=0.5)
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    gap = np.sum((one.mean(axis=0) - other.mean(axis=0)) ** 2)
    expected = gap + np.trace(first + second - 2 * linalg.sqrtm(first @ second).real)
    assert frechet.distance(one, other) == pytest.approx(expected, rel=1e-6)
    assert frechet.distance(other, one) == pytest.approx(expected, rel=1e-6)


def test_the_same_rows_are_no_distance_apart() -> None:
    rows = cloud(50, 80, 3).astype(np.float32)  # fewer rows than features: the matrix is singular
    assert frechet.distance(rows, rows) == pytest.approx(0, abs=1e-3 * np.trace(np.cov(rows, rowvar=False)))


def test_a_shift_counts_by_its_square() -> None:
    rows = cloud(200, 3, 4)
    assert frechet.distance(rows, rows + 2.0) == pytest.approx(12.0, rel=1e-6)


def test_halves_of_one_distribution_are_near() -> None:
    rows = cloud(4000, 4, 5)
    assert frechet.halves(rows) < 0.02 * frechet.distance(rows, rows + 2.0)
    assert np.isnan(frechet.halves(rows[:1]))
