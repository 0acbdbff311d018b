import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.tasks import ranking

SCORES = st.lists(
    st.tuples(st.sampled_from([-1.0, 0.0, 0.5, 0.5, 2.0]) | st.floats(-9, 9, width=32), st.booleans()),
    min_size=1,
    max_size=60,
)


def split(rows: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score for score, _ in rows], np.float32), np.array([allowed for _, allowed in rows])


@given(SCORES, st.integers(1, 80))
def test_the_best_are_the_first_of_all_that_are_allowed_in_order(
    rows: list[tuple[float, bool]], most: int
) -> None:
    scores, allowed = split(rows)
    expected = sorted(np.flatnonzero(allowed).tolist(), key=lambda k: (-scores[k], k))[:most]
    assert ranking.best(scores, allowed, most).tolist() == expected


@given(SCORES, st.data())
def test_a_rank_is_the_place_in_that_order(rows: list[tuple[float, bool]], data: st.DataObject) -> None:
    scores, allowed = split(rows)
    item = data.draw(st.integers(0, len(scores) - 1))
    allowed[item] = True
    order = ranking.best(scores, allowed, len(scores)).tolist()
    assert ranking.rank(scores, allowed, item) == order.index(item) + 1
    allowed[item] = False  # where it is not allowed, it has the same place
    assert ranking.rank(scores, allowed, item) == order.index(item) + 1


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20), st.integers(1, 15))
def test_figures_are_those_of_scikit_learn(seeds: list[int], k: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    scores = np.array([np.random.default_rng(seed).permutation(15) for seed in seeds], np.float64)
    items = np.array([seed % 15 for seed in seeds])
    truth = np.zeros_like(scores)
    truth[np.arange(len(items)), items] = 1
    allowed = np.ones(15, bool)
    ranks = np.array([ranking.rank(row, allowed, item) for row, item in zip(scores, items, strict=True)])
    assert ranking.ndcg(ranks, k) == pytest.approx(sklearn.ndcg_score(truth, scores, k=k))
    assert ranking.recall(ranks, k) == pytest.approx(
        np.mean([item in row.argsort()[::-1][:k] for row, item in zip(scores, items, strict=True)])
    )
    mean = sklearn.label_ranking_average_precision_score(truth, scores)
    assert ranking.reciprocal(ranks) == pytest.approx(mean)
