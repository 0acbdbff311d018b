"""Encoded images into pixels, safely: the size is checked from the header, before anything is decoded."""

import base64
import binascii
import io
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelyard.errors import InvalidInput, TooLarge

MAX_PIXELS: Final = 24_000_000
"""A camera's 6,000 x 4,000. What decoding takes is a small multiple of this: an answer's memory stays bounded."""
FORMATS: Final = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
"""What Pillow may try: raster formats that need no other program."""

Pixels = npt.NDArray[np.uint8]


def header(data: bytes) -> tuple[int, int, str]:
    """Width and height in pixels and "L" or "RGB", read from an encoded image's header alone.

    Raises InvalidInput where `data` is not an image, TooLarge above MAX_PIXELS.
    """
    with _opened(data) as image:
        try:
            width, height = image.size
            if _orientation(image) in (5, 6, 7, 8):
                width, height = height, width
            return width, height, "L" if _is_gray(image) else "RGB"
        except Exception as error:  # as in `decode`
            raise _not_an_image() from error


def decode(data: bytes, mode: str, size: tuple[int, int]) -> Pixels:
    """An encoded image as uint8 [height, width, channels] of `size` (height, width), resized bilinearly.

    The EXIF orientation is applied, transparency is laid over white, 16-bit values are scaled to 8. `mode`
    is "L" or "RGB". Raises as `header` does.
    """
    with _opened(data) as image:
        try:
            pixels = _as_mode(_upright(image), mode)
            if (pixels.height, pixels.width) != size:
                pixels = pixels.resize((size[1], size[0]), _pillow().Resampling.BILINEAR)
            array = np.asarray(pixels, dtype=np.uint8)
        except Exception as error:  # broken files make Pillow's readers raise whatever they stumble over
            raise _not_an_image() from error
    return array.reshape(size[0], size[1], -1)


def decode_all(images: Sequence[bytes], mode: str, size: tuple[int, int]) -> Pixels:
    """Encoded images as uint8 [rows, height, width, channels]. Raises as `decode` does, naming the row."""
    out = np.empty((len(images), *size, 1 if mode == "L" else 3), dtype=np.uint8)
    for row, data in enumerate(images):
        if not isinstance(data, bytes):
            raise InvalidInput(
                f"image {row} is not an encoded image", came=type(data).__name__, allowed="bytes"
            )
        try:
            out[row] = decode(data, mode, size)
        except InvalidInput as error:
            if len(images) == 1:
                raise
            raise type(error)(f"image {row}: {error.what}", came=error.came, allowed=error.allowed) from error
    return out


def from_base64(text: str) -> bytes:
    """Base64, with or without a `data:` address in front. Raises InvalidInput."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("an image as text must be base64", came=text[:40]) from None


def _opened(data: bytes) -> Any:
    pillow = _pillow()
    try:
        image = pillow.open(io.BytesIO(data), formats=FORMATS)
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning):
        raise TooLarge("the image has too many pixels", allowed=f"at most {MAX_PIXELS}") from None
    except Exception as error:  # as in `decode`
        raise _not_an_image() from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        image.close()
        raise TooLarge(
            "the image has too many pixels", came=f"{width} x {height}", allowed=f"at most {MAX_PIXELS}"
        )
    return image


def _pillow() -> Any:
    from PIL import Image

    return Image


def _not_an_image() -> InvalidInput:
    return InvalidInput("the data is not an image that can be read", allowed=FORMATS)


def _orientation(image: Any) -> int:
    """EXIF tag 274. Looked for only where it may be: reading it decodes a whole PNG."""
    if "exif" not in image.info and image.format != "TIFF":
        return 1
    return int(image.getexif().get(274, 1))


def _upright(image: Any) -> Any:
    if _orientation(image) == 1:
        return image
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def _is_gray(image: Any) -> bool:
    if image.mode == "P" and image.palette is not None:
        return all(r == g == b for r, g, b in _palette(image))
    return image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16")


def _palette(image: Any) -> list[tuple[int, int, int]]:
    values = image.getpalette() or []
    return list(zip(values[0::3], values[1::3], values[2::3], strict=False))


def _as_mode(image: Any, mode: str) -> Any:
    if image.mode == mode:
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _to_8_bit(image)
    elif image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = _over_white(image)
    return image if image.mode == mode else image.convert(mode)


def _to_8_bit(image: Any) -> Any:
    """16-bit values by 257, so that 65,535 becomes 255; values that fit in 8 bits stay."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    if values.max(initial=0) > 255:
        values /= np.float32(257)
    return _pillow().fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _over_white(image: Any) -> Any:
    front = image.convert("RGBA")
    back = _pillow().new("RGBA", front.size, "white")
    return _pillow().alpha_composite(back, front).convert("RGB")
