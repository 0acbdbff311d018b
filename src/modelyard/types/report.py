"""The report: what an evaluation found."""

from typing import Any

from msgspec import Struct


class Interval(Struct, frozen=True, kw_only=True):
    """A figure with its bootstrap confidence interval (Efron and Tibshirani 1993, percentile method)."""

    value: float
    low: float
    high: float
    confidence: float = 0.95
    resamples: int = 1000
    seed: int = 0


class Metrics(Struct, frozen=True, kw_only=True):
    """`main` names the figure that models of this task are compared by. `values` are plain figures, `per_class`
    maps a label to {"precision", "recall", "f1", "support"}, `confusion` has true classes as rows."""

    main: str
    higher_is_better: bool
    values: dict[str, float]
    per_class: dict[str, dict[str, float]] = {}
    confusion: tuple[tuple[int, ...], ...] = ()
    curves: dict[str, dict[str, list[float]]] = {}  # name -> {"x", "y"}: ROC, calibration, residuals


class Picture(Struct, frozen=True, kw_only=True):
    """A PNG file and what it shows."""

    png: bytes
    caption: str = ""


class Exhibit(Struct, frozen=True, kw_only=True):
    """What a page shows besides figures: a table of `rows` under `header`, and pictures."""

    title: str
    note: str = ""
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    pictures: tuple[Picture, ...] = ()


class FitVerdict(Struct, frozen=True, kw_only=True):
    """Whether training curves show over- or underfitting, and the numbers that say so."""

    verdict: str  # "good", "overfitting", "underfitting", "not converged", "unknown"
    why: str


class Report(Struct, frozen=True, kw_only=True):
    """`report.json`. `history` maps a metric of training to its points [step, value]."""

    format_version: int = 1
    model: str
    model_digest: str = ""  # of the package that was evaluated
    task: str
    dataset: str
    dataset_digest: str
    split: str
    rows: int
    metrics: Metrics
    interval: Interval
    fit: FitVerdict | None = None
    history: dict[str, list[list[float]]] = {}
    labels: tuple[str, ...] = ()
    recipe: dict[str, Any] | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
