"""Encoded images: looking at what came, and writing pixels as PNG."""

import io
import struct
import warnings
import zlib
from typing import Any, Final

import numpy as np

from modelyard.errors import InvalidInput, TooLarge
from modelyard.tasks.images import MAX_PIXELS

MAX_BYTES: Final = 256 * 1024 * 1024
SUFFIXES: Final = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
PILLOW_FORMATS: Final = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")

_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # channels -> PNG colour type
_STORED_LIMIT = 65_535  # bytes of one stored block of deflate
_BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    struct.error,
    zlib.error,
)


def is_image(head: bytes) -> bool:
    """Whether a file's first 16 bytes are those of an image format in PILLOW_FORMATS."""
    starts = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
    bitmap = head[:2] == b"BM" and head[6:10] == b"\0\0\0\0"
    return head.startswith(starts) or bitmap or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def check_image(data: bytes, name: str) -> None:
    """Decode `data` whole; `name` is what the message calls it.

    Raises TooLarge past MAX_PIXELS, from the header alone, and InvalidInput for what is not an image or is
    cut off."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is lower
            with Image.open(io.BytesIO(data), formats=PILLOW_FORMATS) as image:
                _check_size(image.size, name)
                image.load()
    except Image.DecompressionBombError as error:
        raise TooLarge(f"image {name!r}", came="over 178 megapixels", allowed=_allowed()) from error
    except _BROKEN as error:
        raise InvalidInput(
            f"{name!r} is not an image that can be read",
            allowed=f"whole files of {', '.join(PILLOW_FORMATS)}",
        ) from error


def encode_png(pixels: np.ndarray[Any, Any]) -> bytes:
    """PNG (ISO/IEC 15948) of uint8 pixels [height, width] or [height, width, 1, 3 or 4].

    The rows are stored, not deflated: the bytes then depend on the pixels alone and not on the zlib at hand,
    it is many times as fast, and the Parquet file's own compression makes up for the size."""
    shape = pixels.shape if pixels.ndim == 3 else (*pixels.shape, 1)
    height, width, channels = shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # each row begins with filter type 0
    rows[:, 1:] = pixels.reshape(height, width * channels)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _png_chunk(b"IHDR", header),
            _png_chunk(b"IDAT", _stored(rows.tobytes())),
            _png_chunk(b"IEND", b""),
        )
    )


def _check_size(size: tuple[int, int], name: str) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise TooLarge(f"image {name!r}", came=f"{size[0]} x {size[1]} pixels", allowed=_allowed())


def _allowed() -> str:
    return f"at most {MAX_PIXELS // 1_000_000} megapixels"


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def _stored(data: bytes) -> bytes:
    """A zlib stream (RFC 1950) of stored blocks (RFC 1951, section 3.2.4)."""
    parts = [b"\x78\x01"]
    for start in range(0, len(data), _STORED_LIMIT):
        block = data[start : start + _STORED_LIMIT]
        last = start + _STORED_LIMIT >= len(data)
        parts.append(struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF))
        parts.append(block)
    parts.append(struct.pack(">I", zlib.adler32(data)))
    return b"".join(parts)
