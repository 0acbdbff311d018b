"""A forecast beside what came, as a PNG."""

import io
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_WIDTH, _HEIGHT, _EDGE = 1040, 400, 14
_LEFT, _BELOW = 110, 44
_INK, _MUTED, _GRID, _ACCENT, _SECOND = "#1f2937", "#6b7280", "#e5e7eb", "#2563eb", "#f59e0b"
_LINES: Final = 4


def draw(history: Floats, truth: Floats, forecast: Floats, ends: tuple[str, str, str]) -> bytes:
    """A PNG of a history [length] with the true values [horizon] (grey) and the forecast (blue) that follow it.
    `ends` says the first, the last and the forecast's last time. NaN is a gap."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=20)
    known = np.concatenate([history, truth, forecast])
    known = known[~np.isnan(known)]
    low, high = float(known.min()), float(known.max())
    room = (high - low) or 1.0
    steps = len(history) + len(truth)
    right, floor = _WIDTH - _EDGE, _HEIGHT - _BELOW

    def at(step: float, value: float) -> tuple[float, float]:
        x = _LEFT + (right - _LEFT) * step / max(1, steps - 1)
        return x, floor - (floor - _EDGE) * (value - low) / room

    for line in range(_LINES + 1):
        value = low + room * line / _LINES
        y = at(0, value)[1]
        pen.line([(_LEFT, y), (right, y)], fill=_GRID, width=1)
        pen.text((_LEFT - 10, y), f"{value:.4g}", fill=_MUTED, font=font, anchor="rm")
    begin = len(history) - 0.5
    pen.line([at(begin, low), at(begin, high)], fill=_MUTED, width=1)
    pen.text((_LEFT, _HEIGHT - 6), ends[0], fill=_MUTED, font=font, anchor="lb")
    pen.text((right, _HEIGHT - 6), ends[2], fill=_MUTED, font=font, anchor="rb")
    pen.text((at(begin, low)[0], _HEIGHT - 6), ends[1], fill=_MUTED, font=font, anchor=_anchor(begin / steps))
    _line(pen, at, 0, history, _INK)
    _line(pen, at, len(history), truth, _SECOND)
    _line(pen, at, len(history), forecast, _ACCENT)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _line(pen: Any, at: Any, start: int, values: Floats, color: str) -> None:
    """Known values joined; one alone is a dot."""
    points: list[tuple[float, float]] = []
    for step, value in [*enumerate(values.tolist(), start), (0, float("nan"))]:
        if value == value:
            points.append(at(step, value))
            continue
        if len(points) > 1:
            pen.line(points, fill=color, width=3, joint="curve")
        elif points:
            (x, y) = points[0]
            pen.ellipse([x - 3, y - 3, x + 3, y + 3], fill=color)
        points = []


def _anchor(share: float) -> str:
    """Of the text below the forecast's beginning: away from those at the ends."""
    return "rb" if share > 0.6 else "lb" if share < 0.4 else "mb"
