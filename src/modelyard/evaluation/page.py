"""The page of a report: one HTML file without scripts or links, with every name from outside escaped."""

import base64
import string
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from typing import Final

from modelyard.evaluation import pictures, tables
from modelyard.evaluation.mistakes import Mistake
from modelyard.types.report import Exhibit, Interval, Report

_DRAWN: Final = 800
_GOOD_VERDICTS: Final = ("good",)
_NEUTRAL_VERDICTS: Final = ("unknown",)


def render(report: Report, mistakes: Sequence[Mistake], exhibits: Sequence[Exhibit] = ()) -> str:
    """The whole page. What a report does not have is left out."""
    name = report.model or report.task
    cards = _headline(report) + _section("Figures", tables.figures(report))
    parts = [
        f"<header><h1>{escape(name)}</h1><p>{_subtitle(report)}</p></header>",
        f'<div class="cards">{cards}</div>',
        '<div class="grid">',
        *(_section("Note", f"<p>{escape(note)}</p>", style="wide note") for note in report.notes),
        _training(report),
        *_pictures(report),
        _section("Classes", tables.classes(report), style="wide"),
        _section("Most frequent confusions", tables.confusions(report), style="wide"),
        _section("Most confident mistakes", tables.mistakes(mistakes), _MISTAKES_WHY, style="wide"),
        *(_section(escape(e.title), _exhibit(e), escape(e.note), style="wide") for e in exhibits),
        _section("Where it comes from", tables.lineage(report), style="wide"),
        "</div>",
    ]
    template = string.Template(files("modelyard.evaluation").joinpath("page.html").read_text("utf-8"))
    return template.substitute(
        title=escape(f"{name}: evaluation"), body="\n".join(part for part in parts if part)
    )


_MISTAKES_WHY: Final = "Wrong answers that the model was surest of. Look for wrong labels among them first."
_PICTURES: Final[tuple[tuple[str, Callable[[Report], str | None], str], ...]] = (
    ("Predicted and true", pictures.predicted, "Points on the diagonal are right."),
    ("Residuals", pictures.residuals, "A shape in this cloud is something that the model missed."),
    (
        "ROC",
        pictures.roc,
        "Each class against the rest; the area is 1 for a perfect model and 0.5 for a coin.",
    ),
    (
        "Precision and recall",
        pictures.precision_recall,
        "Each class as the score falls that a detection needs; an IoU of 0.5 with a true box makes it right.",
    ),
    ("Calibration", pictures.calibration, "Below the diagonal the model is surer than it is right."),
    ("Confusion", pictures.confusion, "Rows are true classes, columns what the model answered."),
)


def _subtitle(report: Report) -> str:
    dataset = report.dataset or report.dataset_digest[:12]
    return escape(f"{report.task} · {report.rows:,} rows of the {report.split} split of {dataset}")


def _headline(report: Report) -> str:
    name = tables.title(report.metrics.main)
    interval = report.interval
    direction = "higher is better" if report.metrics.higher_is_better else "lower is better"
    body = (
        f'<span class="name">{escape(name)} · {direction}</span><b>{tables.number(interval.value)}</b>'
        f"{_interval_bar(interval, report.metrics.higher_is_better)}"
        f'<span class="name">{interval.confidence:.0%} interval {tables.number(interval.low)} to '
        f"{tables.number(interval.high)} (bootstrap, {interval.resamples:,} resamples)</span>"
    )
    return f'<section class="headline">{body}</section>'


def _interval_bar(interval: Interval, of_one: bool) -> str:
    """The interval on a line: from 0 to 1 for shares, else from 0 to a little above its end."""
    end = 1.0 if of_one and interval.high <= 1 else max(interval.high * 1.25, 1e-12)
    low, high, value = (
        min(max(x / end, 0.0), 1.0) * 100 for x in (interval.low, interval.high, interval.value)
    )
    return (
        f'<div class="interval"><i style="left:{low:.2f}%;width:{max(high - low, 0.4):.2f}%"></i>'
        f'<u style="left:calc({value:.2f}% - 1px)"></u></div>'
    )


def _training(report: Report) -> str:
    picture = pictures.training(report)
    if report.fit is None and picture is None:
        return ""
    verdict = ""
    if report.fit is not None:
        kind = report.fit.verdict
        style = "good" if kind in _GOOD_VERDICTS else "" if kind in _NEUTRAL_VERDICTS else "warn"
        verdict = (
            f'<p class="why"><span class="verdict {style}">{escape(kind)}</span> {escape(report.fit.why)}</p>'
        )
    return _section("Training", verdict + (picture or ""), style="wide training")


def _pictures(report: Report) -> list[str]:
    drawn = [(name, draw(report), why) for name, draw, why in _PICTURES]
    shown = [(name, picture, why) for name, picture, why in drawn if picture is not None]
    alone = len(shown) % 2 == 1
    return [
        _section(name, picture, why, style="wide" if alone and k == len(shown) - 1 else "")
        for k, (name, picture, why) in enumerate(shown)
    ]


def _exhibit(exhibit: Exhibit) -> str:
    """Its table, then its pictures, which stand in the page itself."""
    shown = "".join(
        f'<figure{_kind(p.png)}><img src="data:image/png;base64,{base64.b64encode(p.png).decode()}"'
        f' alt="{escape(p.caption)}">'
        f"<figcaption>{escape(p.caption)}</figcaption></figure>"
        for p in exhibit.pictures
    )
    return tables.plain(exhibit.header, exhibit.rows) + (f'<div class="shown">{shown}</div>' if shown else "")


def _kind(png: bytes) -> str:
    """A wide picture is a drawing, to be shown smoothly; of a small one each pixel is to be seen."""
    wide = len(png) > 24 and int.from_bytes(png[16:20], "big") >= _DRAWN  # the header's width
    return ' class="drawn"' if wide else ""


def _section(title: str, body: str, why: str = "", style: str = "") -> str:
    """A card, or nothing for an empty body. `title`, `body` and `why` are HTML."""
    if not body:
        return ""
    reason = f'<p class="why">{why}</p>' if why else ""
    return f'<section class="{style}"><h2>{title}</h2>{reason}{body}</section>'
