"""What the report's pictures share: matplotlib's settings, colours, and names that come from anywhere."""

import io
import re
import warnings
from collections.abc import Callable
from typing import Any, Final

from modelyard.errors import MissingExtra

INK: Final = "#1f2937"
MUTED: Final = "#6b7280"
GRID: Final = "#e5e7eb"
ACCENT: Final = "#2563eb"
SECOND: Final = "#f59e0b"
SERIES: Final = (
    "#2563eb", "#f59e0b", "#059669", "#dc2626", "#7c3aed",
    "#0891b2", "#db2777", "#65a30d", "#475569", "#b45309",
)  # fmt: skip

_SETTINGS: Final[dict[str, Any]] = {
    "svg.hashsalt": "modelyard",  # element ids that do not change from one rendering to the next
    "svg.fonttype": "none",  # text stays text: smaller, and it can be searched
    "text.parse_math": False,  # a class may be called "$x"
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


def svg(draw: Callable[[Any], None], width: float, height: float) -> str:
    """`draw` a matplotlib figure of `width` x `height` inches; an <svg> element, always the same."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("matplotlib", "train") from None
    buffer = io.StringIO()
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # Names may be in any script; the reader's browser has the glyphs that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        figure.savefig(
            buffer,
            format="svg",
            bbox_inches="tight",
            pad_inches=0.04,
            metadata={"Date": None, "Creator": None},
        )
    text = buffer.getvalue()
    return _fluid(text[text.index("<svg") :])


def short(name: str, limit: int = 18) -> str:
    """A name as it goes into a picture: printable, on one line, not too long."""
    plain = re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in name)).strip() or "(blank)"
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def _fluid(text: str) -> str:
    """As wide as the page has room for, up to a little above its own size, so that text stays readable."""
    head, rest = text.split(">", 1)
    found = re.search(r'\swidth="([0-9.]+)pt"', head)
    points = float(found[1]) if found else 400.0
    return re.sub(r'\s(width|height)="[^"]*"', "", head) + f' style="max-width:{points * 1.6:.0f}px">' + rest
