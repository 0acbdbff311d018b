"""Figures of classification and regression, in NumPy: they are needed where no training library is
installed."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from modelyard.types.report import Metrics

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
CALIBRATION_BINS: Final = 15
CURVE_POINTS: Final = 200


def accuracy(probabilities: npt.NDArray[np.floating], targets: Ints) -> float:
    """Share of rows whose most probable class is the target. `probabilities` [rows, classes], `targets`
    [rows]."""
    return float(np.mean(probabilities.argmax(axis=1) == targets))


def classification(probabilities: npt.NDArray[np.floating], targets: Ints, labels: Sequence[str]) -> Metrics:
    """All figures of a classifier. `probabilities` [rows, classes], `targets` int64 [rows], rows >= 1.

    Means over classes ("macro") are over the classes that stand in the targets, or in the answers for
    precision, recall and F1 (as scikit-learn's default), so that a class that is absent from the split
    counts for nothing.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    matrix = confusion(p.argmax(axis=1), targets, len(labels))
    per_class = _per_class(matrix, labels)
    seen = [labels[k] for k in np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1)).tolist()]
    curves, areas = _roc_curves(p, targets, labels)
    ece, reliability = calibration(p, targets)
    values = {"accuracy": accuracy(p, targets)}
    for figure in ("precision", "recall", "f1"):
        values[f"{figure}_macro"] = float(np.mean([per_class[name][figure] for name in seen]))
    if areas:
        values["roc_auc"] = float(np.mean(areas))
    values |= {"log_loss": log_loss(p, targets), "calibration_error": ece}
    return Metrics(
        main="accuracy",
        higher_is_better=True,
        values=values,
        per_class=per_class,
        confusion=tuple(tuple(int(n) for n in row) for row in matrix),
        curves={**curves, "calibration": reliability},
    )


def confusion(answers: Ints, targets: Ints, classes: int) -> Ints:
    """Counts [classes, classes], true classes as rows."""
    flat = np.bincount(targets * classes + answers, minlength=classes * classes)
    return flat.reshape(classes, classes)


def log_loss(probabilities: Floats, targets: Ints) -> float:
    """Mean of -ln of the target's probability, in nats; probabilities are clipped to float32's epsilon."""
    chosen = probabilities[np.arange(len(targets)), targets]
    return float(-np.mean(np.log(np.clip(chosen, np.finfo(np.float32).eps, 1.0))))


def calibration(probabilities: Floats, targets: Ints) -> tuple[float, dict[str, list[float]]]:
    """Expected calibration error and the reliability curve (Guo et al. 2017, section 2): the confidence of
    the answer against how often it is right, in 15 bins of equal width. Empty bins are left out; "count" has
    the rows of each."""
    confidence = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == targets).astype(np.float64)
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    count = np.bincount(bins, minlength=CALIBRATION_BINS).astype(np.float64)
    used = count > 0
    mean_confidence = np.bincount(bins, confidence, CALIBRATION_BINS)[used] / count[used]
    mean_right = np.bincount(bins, right, CALIBRATION_BINS)[used] / count[used]
    error = float(np.sum(count[used] / len(targets) * np.abs(mean_right - mean_confidence)))
    curve = {"x": mean_confidence.tolist(), "y": mean_right.tolist(), "count": count[used].tolist()}
    return error, curve


def roc(scores: Floats, positive: npt.NDArray[np.bool_]) -> tuple[Floats, Floats, float]:
    """False and true positive rates at each distinct score, falling, from (0, 0); and the area below by
    trapezia, which counts ties as half (Hanley and McNeil 1982). Both classes must occur."""
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true = np.cumsum(positive[order])[last_of_ties]
    false = last_of_ties + 1 - true
    tpr = np.concatenate([[0.0], true / true[-1]])
    fpr = np.concatenate([[0.0], false / false[-1]])
    return fpr, tpr, float(np.trapezoid(tpr, fpr))


def rmse(predictions: npt.NDArray[np.floating], targets: Floats) -> float:
    """Root of the mean squared error, in the target's unit. Both [rows]."""
    return float(np.sqrt(np.mean((predictions - targets) ** 2)))


def regression(predictions: npt.NDArray[np.floating], targets: Floats) -> Metrics:
    """All figures of a regressor. Both [rows], in the target's unit, rows >= 1. R2 is left out where the
    targets do not vary."""
    y = np.asarray(predictions, dtype=np.float64)
    error = y - targets
    mse = float(np.mean(error**2))
    values = {"rmse": float(np.sqrt(mse)), "mse": mse, "mae": float(np.mean(np.abs(error)))}
    variance = float(np.var(targets))
    if variance > 0:
        values["r2"] = 1 - mse / variance
    shown = _evenly(len(targets), 1000)
    residuals = {"x": y[shown].tolist(), "y": (targets - y)[shown].tolist()}
    predicted = {"x": targets[shown].tolist(), "y": y[shown].tolist()}
    return Metrics(
        main="rmse",
        higher_is_better=False,
        values=values,
        curves={"residuals": residuals, "predicted": predicted},
    )


def _per_class(matrix: Ints, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 are 0 where their denominator is."""
    hit = np.diag(matrix).astype(np.float64)
    answered, support = matrix.sum(axis=0), matrix.sum(axis=1)
    precision = hit / np.maximum(answered, 1)
    recall = hit / np.maximum(support, 1)
    f1 = 2 * hit / np.maximum(answered + support, 1)
    return {
        label: {
            "precision": float(precision[k]),
            "recall": float(recall[k]),
            "f1": float(f1[k]),
            "support": float(support[k]),
        }
        for k, label in enumerate(labels)
    }


def _roc_curves(
    p: Floats, targets: Ints, labels: Sequence[str]
) -> tuple[dict[str, dict[str, list[float]]], list[float]]:
    """One class against the rest, for the second class of two, else for each class with rows of both
    kinds."""
    curves: dict[str, dict[str, list[float]]] = {}
    areas: list[float] = []
    for k in [1] if len(labels) == 2 else range(len(labels)):
        positive = targets == k
        if positive.any() and not positive.all():
            fpr, tpr, area = roc(p[:, k], positive)
            shown = _evenly(len(fpr), CURVE_POINTS)
            curves[f"roc/{labels[k]}"] = {"x": fpr[shown].tolist(), "y": tpr[shown].tolist()}
            areas.append(area)
    return curves, areas


def _evenly(rows: int, most: int) -> Ints:
    """Up to `most` row numbers, the first and last among them."""
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).round().astype(np.int64))
