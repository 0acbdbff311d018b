"""Our figures against scikit-learn's."""

import numpy as np
import pytest
import sklearn.metrics as theirs
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.tasks import metrics

LABELS = ("a", "b", "c")


def _case(rows: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(rows, classes))
    targets = random.integers(0, classes, rows)
    logits[np.arange(rows), targets] += 1.0
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return p.astype(np.float32), targets


@pytest.mark.parametrize("seed", range(3))
def test_classification_is_scikit_learns(seed: int) -> None:
    p, y = _case(200, 3, seed)
    found = metrics.classification(p, y, LABELS)
    answers = p.argmax(axis=1)
    precision, recall, f1, _ = theirs.precision_recall_fscore_support(y, answers, average="macro")
    expected = {
        "accuracy": theirs.accuracy_score(y, answers),
        "precision_macro": precision,
        "recall_macro": recall,
        "f1_macro": f1,
        "roc_auc": theirs.roc_auc_score(
            y, p.astype(np.float64) / p.sum(axis=1, keepdims=True, dtype=np.float64), multi_class="ovr"
        ),
        "log_loss": theirs.log_loss(y, p.astype(np.float64) / p.sum(axis=1, keepdims=True, dtype=np.float64)),
    }
    for name, value in expected.items():
        assert found.values[name] == pytest.approx(value, abs=1e-6), name
    assert np.array_equal(found.confusion, theirs.confusion_matrix(y, answers))
    assert found.main == "accuracy"
    assert found.higher_is_better


def test_two_classes_have_one_roc_curve_of_the_second() -> None:
    p, y = _case(100, 2, 0)
    found = metrics.classification(p, y, ("no", "yes"))
    assert found.values["roc_auc"] == pytest.approx(theirs.roc_auc_score(y, p[:, 1]))
    assert [name for name in found.curves if name.startswith("roc/")] == ["roc/yes"]


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=40))
def test_roc_area_with_ties_is_scikit_learns(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([score / 4 for score, _ in pairs])
    positive = np.array([flag for _, flag in pairs])
    if positive.all() or not positive.any():
        return
    _, _, area = metrics.roc(scores, positive)
    assert area == pytest.approx(theirs.roc_auc_score(positive, scores))


def test_a_class_that_is_absent_counts_for_nothing() -> None:
    p, y = _case(60, 3, 1)
    p[:, 2], y = 0, y % 2
    found = metrics.classification(p, y, LABELS)
    expected = theirs.f1_score(y, p.argmax(axis=1), average="macro")
    assert found.values["f1_macro"] == pytest.approx(expected)
    assert found.per_class["c"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}
    assert "roc/c" not in found.curves


def test_one_row_has_no_roc_and_does_not_fail() -> None:
    found = metrics.classification(np.array([[0.2, 0.8]]), np.array([1]), ("a", "b"))
    assert found.values["accuracy"] == 1
    assert "roc_auc" not in found.values


def test_calibration_error_by_hand() -> None:
    """Three rows of confidence 0.9, two of them right, and one of 0.6 that is right."""
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
    error, curve = metrics.calibration(p, np.array([0, 0, 1, 0]))
    assert error == pytest.approx(0.75 * abs(2 / 3 - 0.9) + 0.25 * 0.4)
    assert curve["x"] == pytest.approx([0.6, 0.9])
    assert curve["count"] == [1, 3]


def test_calibration_of_certain_answers_stands_in_the_last_bin() -> None:
    error, curve = metrics.calibration(np.array([[1.0, 0.0]] * 4), np.array([0, 0, 0, 1]))
    assert error == pytest.approx(0.25)
    assert curve["y"] == [0.75]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=2, max_size=50))
def test_regression_is_scikit_learns(pairs: list[tuple[float, float]]) -> None:
    y, answers = (np.array(column) for column in zip(*pairs, strict=True))
    found = metrics.regression(answers, y).values
    assert found["mse"] == pytest.approx(theirs.mean_squared_error(y, answers))
    assert found["rmse"] == pytest.approx(theirs.root_mean_squared_error(y, answers))
    assert found["mae"] == pytest.approx(theirs.mean_absolute_error(y, answers))
    if np.var(y) > 1e-3:
        assert found["r2"] == pytest.approx(theirs.r2_score(y, answers), rel=1e-6, abs=1e-6)


def test_r2_is_left_out_where_targets_do_not_vary() -> None:
    assert "r2" not in metrics.regression(np.array([1.0, 2.0]), np.array([3.0, 3.0])).values


def test_curves_are_bounded() -> None:
    p, y = _case(20_000, 2, 0)
    found = metrics.classification(p, y, ("a", "b"))
    assert len(found.curves["roc/b"]["x"]) <= metrics.CURVE_POINTS
    assert len(metrics.regression(p[:, 0], y.astype(float)).curves["residuals"]["x"]) <= 1000
