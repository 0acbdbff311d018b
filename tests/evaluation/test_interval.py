import numpy as np
import pytest

from modelyard import tasks
from modelyard.errors import Cancelled
from modelyard.evaluation import Bootstrap, bootstrap
from modelyard.evaluation.interval import _over_rows


def classified(rows, share_right, classes=4):
    rng = np.random.default_rng(3)
    targets = rng.integers(0, classes, rows)
    right = rng.random(rows) < share_right
    answers = np.where(right, targets, (targets + 1) % classes)
    return {"probabilities": np.eye(classes, dtype=np.float32)[answers]}, targets


def regressed(rows):
    rng = np.random.default_rng(4)
    targets = rng.normal(100, 20, rows)
    return {"prediction": (targets + rng.normal(0, 5, rows)).astype(np.float32)}, targets


CASES = [("tabular-classification", classified(300, 0.9)), ("tabular-regression", regressed(300))]


@pytest.mark.parametrize(("name", "data"), CASES)
def test_the_short_way_over_rows_is_the_tasks_own_figure(name, data):
    task, (outputs, targets) = tasks.load(name), data
    picks = np.random.default_rng(5).integers(0, len(targets), (20, len(targets)))
    slow = [task.main({k: v[pick] for k, v in outputs.items()}, targets[pick]) for pick in picks]
    np.testing.assert_allclose(_over_rows(task, outputs, targets)(picks), slow, rtol=1e-6)


def test_an_accuracys_interval_is_the_binomials():
    outputs, targets = classified(400, 0.9)
    found = bootstrap(tasks.load("tabular-classification"), outputs, targets, Bootstrap(resamples=4000))
    p = found.value
    half = 1.96 * (p * (1 - p) / 400) ** 0.5
    assert found.low == pytest.approx(p - half, abs=0.006)
    assert found.high == pytest.approx(p + half, abs=0.006)
    assert (found.confidence, found.resamples, found.seed) == (0.95, 4000, 0)


@pytest.mark.parametrize(("name", "data"), CASES)
def test_the_same_seed_gives_the_same_interval_and_another_another(name, data):
    task, (outputs, targets) = tasks.load(name), data
    first, again = (bootstrap(task, outputs, targets, Bootstrap(seed=1)) for _ in range(2))
    assert first == again
    other = bootstrap(task, outputs, targets, Bootstrap(seed=2))
    assert (other.low, other.high) != (first.low, first.high)
    assert first.low < first.value < first.high


def test_more_confidence_is_wider():
    task, (outputs, targets) = tasks.load("tabular-regression"), regressed(200)
    narrow = bootstrap(task, outputs, targets, Bootstrap(confidence=0.5))
    wide = bootstrap(task, outputs, targets, Bootstrap(confidence=0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_one_row_has_an_interval_of_no_width():
    outputs, targets = classified(1, 1.0)
    found = bootstrap(tasks.load("tabular-classification"), outputs, targets, Bootstrap())
    assert (found.low, found.value, found.high) == (1.0, 1.0, 1.0)


def test_coverage_is_what_it_says():
    """Of 200 samples from one distribution, about nine in ten 90 % intervals hold its true error."""
    task, rng, held = tasks.load("tabular-regression"), np.random.default_rng(7), 0
    for seed in range(200):
        errors = rng.normal(0, 5, 120)
        outputs = {"prediction": errors.astype(np.float32)}
        found = bootstrap(task, outputs, np.zeros(120), Bootstrap(resamples=300, confidence=0.9, seed=seed))
        held += found.low <= 5 <= found.high
    assert 165 <= held <= 195


def test_it_can_be_cancelled():
    outputs, targets = classified(50_000, 0.9)
    calls = []

    def check():
        calls.append(1)
        if len(calls) == 3:
            raise Cancelled("the run was cancelled")

    with pytest.raises(Cancelled):
        bootstrap(tasks.load("tabular-classification"), outputs, targets, Bootstrap(), check)
    assert len(calls) == 3


def test_a_share_of_counts_is_asked_once():
    """Word error rates: the figure of a resample is that of its rows, and the task counts them one time."""

    class Words:
        main_metric = "word_error_rate"
        asked = 0

        def counts(self, outputs, targets):
            self.asked += 1
            return outputs["wrong"], targets

        def main(self, outputs, targets):
            return float(outputs["wrong"].sum() / targets.sum())

    task = Words()
    wrong, words = np.array([0, 1, 2, 5]), np.array([4, 4, 4, 20])
    found = bootstrap(task, {"wrong": wrong}, words, Bootstrap(resamples=2000, seed=1))
    assert task.asked == 1
    assert found.value == 0.25
    assert 0 <= found.low < 0.25 < found.high <= 0.5
