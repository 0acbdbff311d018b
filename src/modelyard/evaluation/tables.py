"""The tables of a report's page, as HTML. Empty text where there is nothing to show."""

import base64
import io
import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

import numpy as np

from modelyard.evaluation.mistakes import Mistake
from modelyard.types.report import Report

_TITLES: Final = {
    "mrr": "Mean reciprocal rank",
    "ndcg@10": "NDCG@10",
    "bleu": "BLEU",
    "chrf": "chrF",
    "5gram_bits_per_character": "Bits per character, 5-grams",
    "5gram_of_tokens_bits_per_character": "Bits per character, 5-grams of tokens",
    "roc_auc": "ROC AUC",
    "rmse": "RMSE",
    "mse": "MSE",
    "mae": "MAE",
    "mase": "MASE",
    "smape": "sMAPE, %",
    "mae_of_seasonal_naive": "MAE of seasonal naive",
    "mase_of_seasonal_naive": "MASE of seasonal naive",
    "r2": "R²",
    "f1": "F1",
    "f1_macro": "F1 (macro)",
    "precision_macro": "Precision (macro)",
    "recall_macro": "Recall (macro)",
    "map_50": "mAP@0.5",
    "map_75": "mAP@0.75",
    "map": "mAP@[.5:.95]",
}
_CONFUSIONS: Final = 12
_CONFUSIONS_FROM: Final = 6  # below, the matrix says it all


def title(name: str) -> str:
    """A figure's name for people."""
    return _TITLES.get(name) or name.replace("_", " ").capitalize()


def number(value: float) -> str:
    """Four significant digits or, near 1, four after the point."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4f}" if 0.001 <= abs(value) < 10 else f"{value:.4g}"


def figures(report: Report) -> str:
    """Every plain figure."""
    cells = "".join(
        f"<div><dt>{escape(title(name))}</dt><dd>{number(value)}</dd></div>"
        for name, value in report.metrics.values.items()
    )
    return f'<dl class="facts">{cells}</dl>'


def classes(report: Report) -> str:
    """Precision, recall and F1 a class, with the rows (or objects) it has; of detectors the average precision."""
    found = report.metrics.per_class
    if not found:
        return ""
    average = any("average_precision" in values for values in found.values())
    rows = [
        (
            escape(name),
            number(values["precision"]),
            number(values["recall"]),
            f"{number(values['f1'])}{_bar(values['f1'])}",
            *([number(values["average_precision"]) if values["support"] else ""] if average else []),
            f"{values['support']:,.0f}",
        )
        for name, values in found.items()
    ]
    head = ("class", "precision", "recall", "F1", *(["average precision"] if average else []))
    return _table((*head, "objects" if average else "rows"), rows)


def confusions(report: Report) -> str:
    """The cells beside the diagonal with the most rows."""
    matrix = np.array(report.metrics.confusion, dtype=np.int64)
    if len(matrix) < _CONFUSIONS_FROM:
        return ""
    support = matrix.sum(axis=1)
    np.fill_diagonal(matrix, 0)
    order = np.argsort(-matrix, axis=None, kind="stable")[:_CONFUSIONS]
    cells = [(int(k) // len(matrix), int(k) % len(matrix)) for k in order]
    rows = [
        (
            escape(report.labels[true]),
            escape(report.labels[answer]),
            f"{matrix[true, answer]:,}",
            f"{matrix[true, answer] / support[true]:.1%}",
        )
        for true, answer in cells
        if matrix[true, answer]
    ]
    return _table(("true", "answered", "rows", "of the class"), rows, text_columns=2) if rows else ""


def mistakes(found: Sequence[Mistake]) -> str:
    """A grid of images, or a table of texts, with their true and their answered class."""
    shown = [mistake for mistake in found if mistake.pixels is not None]
    if not shown:
        return _misread([mistake for mistake in found if mistake.text is not None])
    return '<div class="mistakes">' + "".join(_figure(mistake) for mistake in shown) + "</div>"


def lineage(report: Report) -> str:
    """Digests, and the recipe."""
    facts = {
        "model": report.model,
        "version": report.model_digest,
        "data set": report.dataset,
        "data set version": report.dataset_digest,
        "split": f"{report.split}, {report.rows:,} rows",
    }
    rows = "".join(f"<dt>{name}</dt><dd>{_fact(name, value)}</dd>" for name, value in facts.items() if value)
    recipe = ""
    if report.recipe is not None:
        text = json.dumps(report.recipe, indent=2, ensure_ascii=False, sort_keys=True)
        recipe = f"<details><summary>Recipe</summary><pre>{escape(text)}</pre></details>"
    return f'<dl class="lineage">{rows}</dl><br>{recipe}'


def plain(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts, escaped; nothing for no rows."""
    return (
        _table(map(escape, header), [[escape(cell) for cell in row] for row in rows], len(header))
        if rows
        else ""
    )


def _figure(mistake: Mistake) -> str:
    sure = f'<span class="sure">{mistake.confidence:.0%}</span>'
    return (
        f'<figure><img alt="row {mistake.row}" src="{_png(mistake.pixels)}"><figcaption>'
        f'<span class="wrong">{escape(mistake.answer)}</span> {sure}<br>'
        f'true: <span class="right">{escape(mistake.target)}</span></figcaption></figure>'
    )


def _misread(found: Sequence[Mistake]) -> str:
    rows = [
        (
            escape(mistake.text or ""),
            f'<span class="right">{escape(mistake.target)}</span>',
            f'<span class="wrong">{escape(mistake.answer)}</span>',
            f"{mistake.confidence:.0%}",
        )
        for mistake in found
    ]
    return _table(("text", "true", "answered", "confidence"), rows, text_columns=3) if rows else ""


def _png(pixels: Any) -> str:
    """uint8 [height, width, 1 or 3] as a data URI."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _bar(share: float) -> str:
    return f'<span class="bar"><i style="width:{min(max(share, 0.0), 1.0):.1%}"></i></span>'


def _fact(name: str, value: str) -> str:
    return f"<code>{escape(value)}</code>" if name.endswith("version") else escape(value)


def _table(head: Iterable[str], rows: Iterable[Sequence[str]], text_columns: int = 1) -> str:
    """`rows` are HTML; the first `text_columns` are text, the others numbers."""
    cells = "".join(
        "<tr>"
        + "".join(f"<td{' class=text' * (k < text_columns)}>{cell}</td>" for k, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    names = "".join(f"<th{' class=text' * (k < text_columns)}>{name}</th>" for k, name in enumerate(head))
    return f'<div class="scroll"><table><thead><tr>{names}</tr></thead><tbody>{cells}</tbody></table></div>'
