"""PNG that we write, beside Pillow's reading of it."""

import io

import numpy as np
import pytest
from PIL import Image

from modelyard.datasets.pictures import check_image, encode_png, is_image


@pytest.mark.parametrize(
    "shape", [(1, 1), (8, 8), (28, 28), (300, 500), (5, 7, 1), (5, 7, 3), (5, 7, 4), (200, 300, 3)]
)
def test_pixels_come_back(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    data = encode_png(pixels)
    check_image(data, "a")
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(data))), pixels.reshape(shape[:2]) if shape[2:] == (1,) else pixels
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_formats_are_told_by_their_first_bytes(kind):
    file = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(file, kind)
    assert is_image(file.getvalue()[:16])
    assert not is_image(b"BM,a,b,c\n1,2,3,4")
