"""Bar charts as SVG text: the same figures give the same bytes, and the page needs no script and no library.

Colours are classes of the page's style sheet, so that a chart follows a dark screen.
"""

import math
from collections.abc import Callable, Sequence
from html import escape

_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 10, 40
_TICKS = 4


def histogram(
    edges: Sequence[float],
    counts: Sequence[float],
    x_title: str,
    show: Callable[[float], str],
    y_title: str = "rows",
) -> str:
    """Rows (or what `y_title` says) over values. `show` writes a value of the x axis."""
    width, height = 360, 190
    most = max(counts, default=0) or 1
    low, high = edges[0], edges[-1]
    bars = []
    for left, right, count in zip(edges, edges[1:], counts, strict=False):
        x0, x1 = (_LEFT + (width - _LEFT - _RIGHT) * _share(edge, low, high) for edge in (left, right))
        tip = f"{show(left)} to {show(right)}: {int(count):,} {y_title}"
        bars.append(_bar(x0, max(0.5, x1 - x0 - 0.7), count / most, height, "s0", tip))
    x_ticks = [
        _text(
            _LEFT + (width - _LEFT - _RIGHT) * share,
            height - _BOTTOM + 15,
            show(low + share * (high - low)),
            anchor,
        )
        for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    ]
    return _svg(width, height, _frame(width, height, most, x_title, y_title=y_title) + bars + x_ticks)


def grouped_bars(names: Sequence[str], series: Sequence[tuple[str, Sequence[float]]], x_title: str) -> str:
    """Rows of each name, one bar for each series (as splits) side by side."""
    width = max(420, _LEFT + _RIGHT + len(names) * (14 * len(series) + 14))
    slanted = any(len(name) > 7 for name in names)
    bottom = _BOTTOM + (46 if slanted else 0)
    height = 230 + bottom - _BOTTOM
    most = max((value for _, values in series for value in values), default=0) or 1
    step = (width - _LEFT - _RIGHT) / max(1, len(names))
    bar = min(40.0, (step - 8) / max(1, len(series)))
    parts = _frame(width, height, most, x_title, bottom)
    for place, name in enumerate(names):
        middle = _LEFT + step * (place + 0.5)
        for index, (title, values) in enumerate(series):
            x = middle + (index - len(series) / 2) * bar
            tip = f"{name}, {title}: {int(values[place]):,} rows"
            parts.append(_bar(x, max(1.0, bar - 1), values[place] / most, height, f"s{index}", tip, bottom))
        parts.append(_name(middle, height - bottom + 14, name, slanted))
    return _svg(width, height, parts)


def level_bars(rows: Sequence[tuple[str, float, str]], x_title: str) -> str:
    """Level bars for (name, share of 1, text beside the bar), the longest names cut."""
    width, step, left = 360, 22, 130
    height = len(rows) * step + 30
    parts = []
    for place, (name, share, beside) in enumerate(rows):
        y = place * step + 4
        length = max(1.0, (width - left - 115) * share)
        tip = f"<title>{escape(f'{name}: {beside}')}</title>"
        parts.append(_text(left - 6, y + 12, _cut(name, 19), "end"))
        parts.append(
            f'<rect class="s0" x="{left}" y="{y}" width="{length:.1f}" height="15" rx="2">{tip}</rect>'
        )
        parts.append(_text(left + length + 5, y + 12, beside, "start"))
    parts.append(_text((left + width) / 2, height - 8, x_title, "middle", "title"))
    return _svg(width, height, parts)


def _frame(
    width: float, height: float, most: float, x_title: str, bottom: float = _BOTTOM, y_title: str = "rows"
) -> list[str]:
    """Axes, grid lines and the axes' titles."""
    parts = []
    for tick in _ticks(most):
        y = height - bottom - (height - bottom - _TOP) * tick / most
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{width - _RIGHT}" y2="{y:.1f}"/>')
        parts.append(_text(_LEFT - 5, y + 4, _short(tick), "end"))
    middle = (height - bottom + _TOP) / 2
    parts.append(
        f'<text class="title" text-anchor="middle" transform="translate(11 {middle:.1f}) rotate(-90)">'
        f"{escape(y_title)}</text>"
    )
    parts.append(_text((_LEFT + width - _RIGHT) / 2, height - 6, _cut(x_title, 48), "middle", "title"))
    return parts


def _ticks(most: float) -> list[float]:
    """Round steps (1, 2 or 5 times a power of ten) from 0 to at most `most`; rows are whole numbers."""
    rough = max(1.0, most / _TICKS)
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    return [step * place for place in range(int(most / step) + 1)]


def _bar(
    x: float, width: float, share: float, height: float, style: str, tip: str, bottom: float = _BOTTOM
) -> str:
    tall = (height - bottom - _TOP) * share
    y = height - bottom - tall
    return (
        f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{tall:.1f}">'
        f"<title>{escape(tip)}</title></rect>"
    )


def _name(x: float, y: float, name: str, slanted: bool) -> str:
    if not slanted:
        return _text(x, y, name, "middle")
    place = f"translate({x + 4:.1f} {y:.1f}) rotate(-35)"
    return f'<text text-anchor="end" transform="{place}">{escape(_cut(name, 14))}</text>'


def _text(x: float, y: float, text: str, anchor: str, style: str = "") -> str:
    named = f' class="{style}"' if style else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>{"".join(parts)}</svg>'


def _share(value: float, low: float, high: float) -> float:
    return (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.0


def _short(value: float) -> str:
    for size, mark in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{mark}"
    return f"{value:g}"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
