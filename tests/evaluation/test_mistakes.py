import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.evaluation.mistakes import KEPT, MistakeKeeper

LABELS = ("a", "b", "c")


def rows(count, seed=0):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([0.5, 0.5, 0.5], count).astype(np.float32)
    return probabilities, rng.integers(0, 3, count)


@settings(max_examples=50, deadline=None)
@given(count=st.integers(1, 300), batch=st.integers(1, 64), seed=st.integers(0, 99))
def test_keeps_the_most_confident_wrong_answers_whatever_the_batches(count, batch, seed):
    probabilities, targets = rows(count, seed)
    keeper = MistakeKeeper(LABELS)
    for start in range(0, count, batch):
        keeper.add({}, probabilities[start : start + batch], targets[start : start + batch])
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != targets)
    confidence = probabilities.max(axis=1)
    expected = sorted(wrong, key=lambda row: (-confidence[row], row))[:KEPT]
    assert [m.row for m in keeper.mistakes] == expected
    for mistake in keeper.mistakes:
        assert mistake.target == LABELS[targets[mistake.row]]
        assert mistake.answer == LABELS[probabilities[mistake.row].argmax()]
        assert mistake.confidence == float(confidence[mistake.row])


def test_keeps_the_pixels_of_its_own_row():
    probabilities = np.array([[0.1, 0.9, 0], [0.9, 0.1, 0]], np.float32)
    pixels = np.stack([np.full((4, 4, 1), value, np.uint8) for value in (10, 20)])
    keeper = MistakeKeeper(LABELS)
    keeper.add({"image": pixels}, probabilities, np.array([1, 1]))
    (mistake,) = keeper.mistakes
    assert mistake.row == 1
    pixels[:] = 0  # the batch's memory may be used again
    assert (mistake.pixels == 20).all()


def test_a_perfect_model_has_none():
    keeper = MistakeKeeper(LABELS)
    keeper.add({}, np.eye(3, dtype=np.float32), np.arange(3))
    assert keeper.mistakes == ()
