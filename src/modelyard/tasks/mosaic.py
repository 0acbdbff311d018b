"""Many small images as one PNG, for the pages of reports and for answers."""

import io
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
GAP: Final = 2
_WIDE: Final = 640  # pixels that a mosaic is enlarged to, about
_WHITE: Final = 255


def to_pixels(images: npt.NDArray[np.floating[Any]]) -> Pixels:
    """Values of 0..1 [rows, height, width, channels] as uint8, rounded; what lies outside is cut."""
    pixels: Pixels = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    return pixels


def png(pixels: Pixels) -> bytes:
    """uint8 [height, width, 1 or 3] as a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def mosaic(pixels: Pixels, columns: int) -> bytes:
    """uint8 [rows, height, width, channels] as a PNG file of a grid, row by row, each pixel enlarged alike."""
    count, height, width, channels = pixels.shape
    lines = -(-count // columns)
    side = (height + GAP, width + GAP)
    whole = np.full((lines * side[0] + GAP, columns * side[1] + GAP, channels), _WHITE, np.uint8)
    for number, image in enumerate(pixels):
        top, left = number // columns * side[0] + GAP, number % columns * side[1] + GAP
        whole[top : top + height, left : left + width] = image
    scale = max(1, round(_WIDE / whole.shape[1]))
    return png(whole.repeat(scale, axis=0).repeat(scale, axis=1))
