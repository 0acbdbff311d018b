import numpy as np
import pytest
from scipy import stats

from modelyard.errors import InvalidInput
from modelyard.tasks import similarity
from modelyard.tasks.similarity import alike, codes, correlation, neighbours_alike


def likeness(one: str, other: str) -> float:
    return float(alike(codes([one]), codes([other]))[0])


def test_paths_are_alike_by_what_they_share_from_the_root() -> None:
    assert likeness("/entity/animal/dog", "/entity/animal/cat") == pytest.approx(2 * 2 / 6)  # Wu and Palmer
    assert likeness("/entity/animal/dog", "/entity/animal") == pytest.approx(2 * 2 / 5)
    assert likeness("/a/dog", "/b/dog") == 0


def test_texts_are_alike_by_their_words_and_classes_by_being_the_same() -> None:
    assert likeness("The dog barks.", "a dog, the dog") == pytest.approx(2 * 2 / 6)
    assert likeness("sport", "sport") == 1
    assert likeness("sport", "politics") == 0
    assert likeness("?!", "?!") == 1


def test_missing_values_are_refused() -> None:
    with pytest.raises(InvalidInput, match="1 of 2 rows"):
        codes(["a", None])


def test_vectors_that_follow_the_tree_beat_those_that_do_not() -> None:
    random = np.random.default_rng(0)
    places = [(a, b) for a in range(4) for b in range(5) for _ in range(6)]
    targets = codes([f"/r/{a}/{b}" for a, b in places])
    vectors = np.array([np.eye(4)[a] + 0.4 * np.pad(np.eye(5)[b], 0)[:4] for a, b in places])
    assert correlation(vectors, targets) > 0.6
    near, chance = neighbours_alike(vectors, targets)
    assert near > chance + 0.3
    drawn = random.normal(size=vectors.shape)
    assert abs(correlation(drawn, targets)) < 0.1
    near, chance = neighbours_alike(drawn, targets)
    assert near == pytest.approx(chance, abs=0.1)
    assert correlation(np.ones_like(vectors), targets) == 0


def test_copies_of_a_row_do_not_help() -> None:
    random = np.random.default_rng(2)
    vectors, targets = random.normal(size=(40, 3)), codes([f"/r/{k % 4}" for k in range(40)])
    copied = np.repeat(np.arange(40), 5)
    assert abs(correlation(vectors, targets)) < 0.1
    assert abs(correlation(vectors[copied], targets[copied])) < 0.1


def test_ranks_are_those_of_scipy() -> None:
    random = np.random.default_rng(1)
    one, other = random.integers(0, 6, 200), random.normal(size=200)
    assert similarity._spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)


def test_one_vector_has_nothing_to_be_compared_with() -> None:
    with pytest.raises(InvalidInput, match="1 row"):
        correlation(np.ones((1, 3)), codes(["a"]))
