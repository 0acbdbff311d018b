"""The pictures of a report, one function each: a Report in, an <svg> or None (nothing to show) out."""

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from modelyard.evaluation.drawing import ACCENT, INK, MUTED, SECOND, SERIES, short, svg
from modelyard.types.report import Report

_NAMED_CELLS: Final = 30  # classes up to which a confusion matrix names its rows
_COUNTED_CELLS: Final = 15  # and up to which it has the counts in its cells
_NAMED_CURVES: Final = 10

_SPLIT_COLORS: Final = {"train": ACCENT, "validation": SECOND, "test": "#059669"}

Curve = Mapping[str, list[float]]


def confusion(report: Report) -> str | None:
    """Rows are true classes; a cell's colour is its share of the row."""
    matrix = np.array(report.metrics.confusion, dtype=np.int64)
    n = len(matrix)
    if n == 0:
        return None
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        image = axes.imshow(
            share, cmap="Blues", vmin=0, vmax=1, aspect="equal", interpolation="none", rasterized=True
        )
        axes.grid(False)
        axes.set(xlabel="answered", ylabel="true")
        ticks = np.arange(0, n, 1 if n <= _NAMED_CELLS else -(-n // 10))
        names = [short(report.labels[k]) for k in ticks]
        axes.set_xticks(ticks, names, rotation=0 if max(map(len, names)) * n <= 30 else 90)
        axes.set_yticks(ticks, [short(report.labels[k], 26) for k in ticks])
        if n <= _COUNTED_CELLS:
            _write_counts(axes, matrix, share)
        bar = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02)
        bar.outline.set_visible(False)
        bar.set_label("share of the true class", color=MUTED)

    side = float(np.clip(2.6 + 0.36 * n, 4.2, 7.2))
    return svg(draw, side * 1.12, side)


def roc(report: Report) -> str | None:
    """Receiver operating characteristic, one class against the rest (Fawcett 2006)."""
    return _of_classes(report, "roc/", ("false positive rate", "true positive rate"), diagonal=True)


def precision_recall(report: Report) -> str | None:
    """Of a detector: the share of what it finds that is right, against the share of what there is that it finds."""
    return _of_classes(report, "precision_recall/", ("recall", "precision"), diagonal=False)


def _of_classes(report: Report, prefix: str, axes_names: tuple[str, str], *, diagonal: bool) -> str | None:
    """A curve a class, with the areas below; of many classes the hardest are named."""
    curves = {n.removeprefix(prefix): c for n, c in report.metrics.curves.items() if n.startswith(prefix)}
    if not curves:
        return None
    areas = {name: float(np.trapezoid(c["y"], c["x"])) for name, c in curves.items()}
    hardest = sorted(curves, key=lambda name: (areas[name], name))
    named = list(curves) if len(curves) <= _NAMED_CURVES else hardest[:5]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        if diagonal:
            axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (4, 4)))
        for name in curves:
            if name not in named:
                axes.plot(curves[name]["x"], curves[name]["y"], color="#cbd5e1", linewidth=0.6)
        for k, name in enumerate(named):
            label = f"{short(name)} · {areas[name]:.3f}"
            color = SERIES[k % len(SERIES)]
            axes.plot(curves[name]["x"], curves[name]["y"], color=color, linewidth=1.5, label=label)
        axes.set(xlabel=axes_names[0], ylabel=axes_names[1], xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        title = "area under the curve" if len(named) == len(curves) else "the five hardest classes"
        place = "lower right" if diagonal else "lower left"
        axes.legend(title=title, loc=place, fontsize=8, title_fontsize=8)

    return svg(draw, 5.4, 4.4)


def calibration(report: Report) -> str | None:
    """Reliability: how sure the answers are against how often they are right (Guo et al. 2017)."""
    curve = report.metrics.curves.get("calibration")
    if not curve or not curve["x"]:
        return None
    confidence, right = curve["x"], curve["y"]

    def draw(figure: Any) -> None:
        top, low = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
        top.plot(
            [0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (4, 4)), label="perfectly calibrated"
        )
        top.vlines(confidence, right, confidence, color=SECOND, linewidth=3, alpha=0.35, label="gap")
        top.plot(confidence, right, color=ACCENT, marker="o", markersize=4, linewidth=1.5, label="this model")
        top.set(ylabel="share that is right", xlim=(-0.01, 1.01), ylim=(-0.02, 1.02))
        top.legend(loc="upper left", fontsize=8)
        low.bar(
            confidence, curve.get("count", []) or [0] * len(confidence), width=0.04, color=ACCENT, alpha=0.6
        )
        low.set(xlabel="confidence of the answer", ylabel="rows")

    return svg(draw, 5.4, 4.4)


def training(report: Report) -> str | None:
    """The curves of training, one panel a figure, with the splits together."""
    panels = _panels({name: points for name, points in report.history.items() if len(points) > 1})
    if not panels:
        return None
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)

    def draw(figure: Any) -> None:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, (title, lines) in zip(grid.flat, panels.items(), strict=False):
            for name, points in lines.items():
                x, y = zip(*points, strict=True)
                marker = "o" if len(points) <= 40 else None
                color = _SPLIT_COLORS.get(name, MUTED)
                axes.plot(x, y, color=color, linewidth=1.5, marker=marker, markersize=3, label=name)
            axes.set(title=title, xlabel="epoch")
            if set(lines) & set(_SPLIT_COLORS):
                axes.legend(fontsize=8)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)

    return svg(draw, 4.2 * columns, 2.9 * rows)


def residuals(report: Report) -> str | None:
    """True minus predicted, against predicted: a shape here is something that the model missed."""
    curve = report.metrics.curves.get("residuals")
    if not curve or not curve["x"]:
        return None

    def draw(figure: Any) -> None:
        axes, side = figure.subplots(1, 2, width_ratios=(4, 1), sharey=True)
        axes.axhline(0, color=INK, linewidth=0.8)
        _dots(axes, curve)
        axes.set(xlabel="predicted", ylabel="true − predicted")
        side.hist(curve["y"], bins=24, orientation="horizontal", color=ACCENT, alpha=0.6)
        side.axhline(0, color=INK, linewidth=0.8)
        side.set(xlabel="rows")

    return svg(draw, 5.4, 4.4)


def predicted(report: Report) -> str | None:
    """Predicted against true; the diagonal is a perfect model."""
    curve = report.metrics.curves.get("predicted")
    if not curve or not curve["x"]:
        return None
    ends = [min(curve["x"] + curve["y"]), max(curve["x"] + curve["y"])]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.plot(ends, ends, color=MUTED, linewidth=0.8, linestyle=(0, (4, 4)))
        _dots(axes, curve)
        axes.set(xlabel="true", ylabel="predicted")

    return svg(draw, 5.4, 4.4)


def _write_counts(axes: Any, matrix: Any, share: Any) -> None:
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            color = "white" if share[row, column] > 0.55 else INK
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=color, fontsize=8)


def _dots(axes: Any, curve: Curve) -> None:
    axes.scatter(curve["x"], curve["y"], s=12, color=ACCENT, alpha=0.45, linewidths=0)


def _panels(history: Mapping[str, list[list[float]]]) -> dict[str, dict[str, list[list[float]]]]:
    """Figure -> split -> points, from names such as "train/loss"; what has no split comes last."""
    panels: dict[str, dict[str, list[list[float]]]] = {}
    alone: dict[str, dict[str, list[list[float]]]] = {}
    for name, points in history.items():
        found = re.fullmatch(r"(train|validation|test)[_/.](.+)", name)
        if found:
            panels.setdefault(_panel_title(found[2]), {})[found[1]] = points
        else:
            alone[_panel_title(name)] = {"": points}
    return panels | {title: lines for title, lines in alone.items() if title not in panels}


def _panel_title(name: str) -> str:
    return short(name.replace("_", " "), 40)
