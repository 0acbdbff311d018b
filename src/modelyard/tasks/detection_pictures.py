"""Images with true and found boxes on them."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from modelyard.tasks import images
from modelyard.tasks.objects import Objects
from modelyard.types.report import Picture

SHOWN: Final = 12
_SIDE: Final = 320  # pixels of the longer side on the page
_COLORS: Final = (
    *("#4f46e5", "#d97706", "#059669", "#dc2626", "#7c3aed"),
    *("#0891b2", "#be185d", "#4d7c0f", "#1e40af", "#92400e"),
)
_TRUE: Final = "#ffffff"
_DASH: Final = 5
_LETTERS: Final = 12  # their height in pixels


def pictures(
    files: Sequence[bytes],
    truths: Sequence[Objects],
    find: Callable[[Sequence[bytes]], Sequence[Any]],
    labels: Sequence[str],
) -> tuple[Picture, ...]:
    """The first SHOWN images. `find` gives what `ObjectDetection.encode` does."""
    colors = {label: _COLORS[k % len(_COLORS)] for k, label in enumerate(labels)}
    files = list(files)[:SHOWN]
    return tuple(
        Picture(png=_drawn(file, truth, found, colors), caption=_caption(truth, found))
        for file, truth, found in zip(files, truths, find(files), strict=False)
    )


def _drawn(file: bytes, truth: Objects, found: Sequence[Any], colors: Mapping[str, str]) -> bytes:
    from PIL import Image, ImageDraw, ImageFont

    width, height, _ = images.header(file)
    scale = _SIDE / max(width, height)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    image = Image.fromarray(images.decode(file, "RGB", size))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(_LETTERS)
    for box in truth.boxes * scale:
        _dashed(draw, box.tolist())
    for one in reversed(found):  # the surest on top
        color = colors[one["label"]]
        box = [one["box"][side] * scale for side in ("xmin", "ymin", "xmax", "ymax")]
        draw.rectangle(box, outline=color, width=2)
        place = (box[0], max(0, box[1] - _LETTERS - 3))
        text = f"{one['label']} {one['score']:.2f}"
        draw.rectangle(draw.textbbox(place, text, font=font), fill=color)
        draw.text(place, text, fill="white", font=font)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _dashed(draw: Any, box: Sequence[float]) -> None:
    left, top, right, bottom = box
    for line in ((left, top, right, top), (left, bottom, right, bottom)):
        for x in range(int(line[0]), int(line[2]), 2 * _DASH):
            draw.line((x, line[1], min(x + _DASH, line[2]), line[1]), fill=_TRUE, width=2)
    for line in ((left, top, left, bottom), (right, top, right, bottom)):
        for y in range(int(line[1]), int(line[3]), 2 * _DASH):
            draw.line((line[0], y, line[0], min(y + _DASH, line[3])), fill=_TRUE, width=2)


def _caption(truth: Objects, found: Sequence[Any]) -> str:
    there = ", ".join(sorted(truth.names)) or "nothing"
    return f"there: {there}; found: {', '.join(sorted(one['label'] for one in found)) or 'nothing'}"
