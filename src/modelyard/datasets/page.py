"""profile.html: one file with its pictures inside, without scripts and without anything to load."""

import base64
import io
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import Final

import numpy as np

from modelyard.datasets.charts import grouped_bars, histogram, level_bars
from modelyard.datasets.profile import Samples
from modelyard.datasets.profile_text import number, printable, summary
from modelyard.types.dataset import SPLITS, ColumnProfile, DatasetManifest, Profile

CHARTS: Final = 60
"""Columns that get a chart; the table has all up to TABLE_ROWS."""

TABLE_ROWS: Final = 500
CLASSES: Final = 40
THUMBNAIL: Final = 72
_BAR_ROWS = 8
_META = (
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta http-equiv="Content-Security-Policy" content="'
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
)


def render_page(profile: Profile, manifest: DatasetManifest, samples: Samples) -> str:
    """The page as text. Whatever comes from the data is escaped."""
    style = resources.files("modelyard.datasets").joinpath("page.css").read_text("utf-8")
    sections = [
        _head(profile, manifest),
        _warnings(profile),
        _splits(manifest),
        _balance(profile),
        _grid(samples),
        _table(profile),
        _missing(profile),
        _charts(profile),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{_META}'
        f"<title>Profile of a data set</title><style>\n{style}</style></head><body><main>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main></body></html>\n"
    )


def _head(profile: Profile, manifest: DatasetManifest) -> str:
    about = "about " if profile.sampled else ""
    missing = sum(column.missing for column in profile.columns)
    cells = profile.rows * len(profile.columns)
    cards = [
        (f"{profile.rows:,}", "rows"),
        (f"{len(profile.columns):,}", "columns"),
        (_text(manifest.schema.label or "none", 24), "label"),
        (f"{len(manifest.class_names):,}" if manifest.class_names else "none", "classes"),
        (f"{missing / cells:.2%}", "of values missing"),
        (f"{about}{profile.duplicates:,}", "repeated rows"),
    ]
    shown = "".join(f"<div class=card><b>{value}</b><span>{name}</span></div>" for value, name in cards)
    return f"<h1>Profile of a data set</h1><div class=cards>{shown}</div>"


def _warnings(profile: Profile) -> str:
    if not profile.warnings:
        return "<p class=good>Nothing stands out.</p>"
    shown = "".join(f"<li>{_text(warning, 500)}</li>" for warning in profile.warnings)
    return f"<section class=warn><h2>Look at</h2><ul>{shown}</ul></section>"


def _splits(manifest: DatasetManifest) -> str:
    parts, names = [], []
    for index, split in enumerate(SPLITS):
        rows = manifest.split_rows[split]
        share = rows / manifest.rows
        parts.append(f'<i class="b{index}" style="width:{share:.4%}"></i>')
        names.append(f'<span><i class="dot b{index}"></i>{split} <b>{rows:,}</b> ({share:.1%})</span>')
    return _section("Splits", f"<div class=stack>{''.join(parts)}</div><p class=key>{''.join(names)}</p>")


def _balance(profile: Profile) -> str:
    if not profile.class_balance:
        return ""
    totals = {
        name: sum(profile.class_balance[split].get(name, 0) for split in SPLITS)
        for name in profile.class_balance["train"]
    }
    names = list(totals)
    note = ""
    if len(names) > CLASSES:
        note = f"<p>The {CLASSES} most frequent of {len(names):,} classes.</p>"
        names = sorted(names, key=lambda name: -totals[name])[:CLASSES]
    series = [(split, [profile.class_balance[split].get(name, 0) for name in names]) for split in SPLITS]
    key = "".join(f'<span><i class="dot b{index}"></i>{split}</span>' for index, split in enumerate(SPLITS))
    chart = grouped_bars([printable(name, 40) for name in names], series, "class")
    return _section("Classes in each split", f"{note}<p class=key>{key}</p><div class=wide>{chart}</div>")


def _grid(samples: Samples) -> str:
    if not samples.images:
        return ""
    rows = []
    for name in sorted(samples.images):
        pictures = "".join(
            f'<img alt="" src="data:image/png;base64,{_thumbnail(image)}">' for image in samples.images[name]
        )
        rows.append(f"<tr><th>{_text(name, 40)}</th><td class=pictures>{pictures}</td></tr>")
    return _section("Some images", f"<table>{''.join(rows)}</table>")


def _thumbnail(data: bytes) -> str:
    """A PNG of at most THUMBNAIL pixels a side, in base64; smaller images keep their pixels."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (2 * THUMBNAIL, 2 * THUMBNAIL))
        small = image.convert("RGBA" if "A" in image.mode or "transparency" in image.info else "RGB")
        small.thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL))
        file = io.BytesIO()
        Image.fromarray(np.asarray(small)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


def _table(profile: Profile) -> str:
    rows = []
    for column in profile.columns[:TABLE_ROWS]:
        share = column.missing / profile.rows
        distinct = f"{'' if column.distinct_is_exact else '≈ '}{column.distinct:,}"
        rows.append(
            f"<tr><th>{_text(column.name, 60)}</th><td>{column.kind}</td>"
            f"<td class=n>{column.missing:,}{f' ({share:.1%})' if share else ''}</td>"
            f"<td class=n>{distinct}</td><td>{_text(summary(column), 90)}</td></tr>"
        )
    more = len(profile.columns) - TABLE_ROWS
    note = f"<p>... and {more:,} more columns; profile.json has them all.</p>" if more > 0 else ""
    titles = ("column", "kind", "missing", "distinct", "range or most frequent")
    head = f"<tr>{''.join(f'<th>{title}</th>' for title in titles)}</tr>"
    return _section("Columns", f"<table class=lines>{head}{''.join(rows)}</table>{note}")


def _missing(profile: Profile) -> str:
    lacking = sorted((c for c in profile.columns if c.missing), key=lambda c: -c.missing)[:30]
    if not lacking:
        return ""
    rows = [
        (printable(c.name, 40), c.missing / profile.rows, f"{c.missing:,} ({c.missing / profile.rows:.1%})")
        for c in lacking
    ]
    return _section("Missing values", level_bars(rows, "share of the rows"))


def _charts(profile: Profile) -> str:
    drawn = [
        (column, chart) for column in profile.columns[: 4 * CHARTS] if (chart := _chart(column, profile.rows))
    ]
    if not drawn:
        return ""
    figures = "".join(f"<figure><h3>{_text(c.name, 40)}</h3>{chart}</figure>" for c, chart in drawn[:CHARTS])
    note = (
        "" if len(profile.columns) <= CHARTS else f"<p>Charts of the first {len(drawn[:CHARTS])} columns.</p>"
    )
    return _section("Values", f"{note}<div class=figures>{figures}</div>")


def _chart(column: ColumnProfile, rows: int) -> str:
    if column.histogram is not None:
        edges, counts = column.histogram["edges"], column.histogram["counts"]
        show = _date if column.kind == "timestamp" else _value
        title = {"image": "brightness of pixels (0 to 255)", "audio": "seconds", "timestamp": "date"}.get(
            column.kind, column.name
        )
        counted = "pixels" if column.kind == "image" else "rows"
        return histogram(edges, counts, printable(title, 60), show, counted)
    if column.top:
        shown: Sequence[tuple[str, int]] = column.top[:_BAR_ROWS]
        most = max(count for _, count in shown)
        return level_bars(
            [
                (printable(value, 40), count / most, f"{count:,} ({count / rows:.0%})")
                for value, count in shown
            ],
            "rows",
        )
    return ""


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _value(value: float) -> str:
    return number(value)


def _date(seconds: float) -> str:
    return str(np.datetime64(int(seconds), "s"))[:10]


def _text(value: str, limit: int) -> str:
    return escape(printable(value, limit))
