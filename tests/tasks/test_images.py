import base64
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from modelyard.errors import InvalidInput, TooLarge
from modelyard.tasks import images


def _encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _gradient(height: int = 6, width: int = 4) -> Image.Image:
    return Image.fromarray(np.arange(height * width, dtype=np.uint8).reshape(height, width) * 10)


def _huge_png(width: int, height: int) -> bytes:
    """A PNG whose header says this size and whose pixels are not there."""
    body = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + body
    header = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 1000) + b"IDAT" + b"x"


def test_grey_pixels_come_back_as_they_were() -> None:
    image = _gradient()
    found = images.decode(_encoded(image), "L", (6, 4))
    assert found.shape == (6, 4, 1)
    assert np.array_equal(found[..., 0], np.asarray(image))


def test_resizes_bilinearly_to_height_and_width() -> None:
    found = images.decode(_encoded(_gradient()), "RGB", (3, 2))
    expected = np.asarray(_gradient().convert("RGB").resize((2, 3), Image.Resampling.BILINEAR))
    assert np.array_equal(found, expected)


def test_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (20, 10), "black")
    image.paste("white", (0, 0, 10, 10))  # the left half
    exif = Image.Exif()
    exif[274] = 6  # turned: the left side is up
    data = _encoded(image, "JPEG", exif=exif.tobytes())
    assert images.header(data) == (10, 20, "RGB")
    found = images.decode(data, "L", (20, 10))
    assert found[:8].min() > 200
    assert found[12:].max() < 50


def test_transparency_is_laid_over_white() -> None:
    image = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    assert (images.decode(_encoded(image), "RGB", (2, 2)) == 255).all()
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    data = _encoded(palette, "PNG", transparency=0)
    assert (images.decode(data, "L", (2, 2)) == 255).all()


def test_sixteen_bits_become_eight() -> None:
    values = np.array([[0, 257], [32896, 65535]], dtype=np.uint16)
    found = images.decode(_encoded(Image.fromarray(values)), "L", (2, 2))
    assert found[..., 0].tolist() == [[0, 1], [128, 255]]


@pytest.mark.parametrize(
    ("mode", "expected"), [("1", "L"), ("L", "L"), ("LA", "L"), ("RGB", "RGB"), ("RGBA", "RGB")]
)
def test_the_header_says_grey_or_colour(mode: str, expected: str) -> None:
    assert images.header(_encoded(Image.new(mode, (5, 3))))[2] == expected


def test_a_palette_of_greys_is_grey() -> None:
    image = Image.new("P", (2, 2))
    image.putpalette([0, 0, 0, 90, 90, 90])
    assert images.header(_encoded(image))[2] == "L"
    image.putpalette([0, 0, 0, 90, 0, 90])
    assert images.header(_encoded(image))[2] == "RGB"


@pytest.mark.parametrize("size", [(50_000, 50_000), (8_001, 8_000), (10_000, 10_000)])
def test_too_many_pixels_are_refused_from_the_header_alone(size: tuple[int, int]) -> None:
    with pytest.raises(TooLarge, match="too many pixels"):
        images.decode(_huge_png(*size), "L", (8, 8))
    with pytest.raises(TooLarge):
        images.header(_huge_png(*size))


def test_pixels_that_are_not_there_are_no_image() -> None:
    with pytest.raises(InvalidInput, match="not an image"):
        images.decode(_huge_png(100, 100), "L", (8, 8))


@given(st.binary(max_size=200))
def test_bytes_that_are_not_an_image(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="not an image"):
        images.decode(data, "L", (8, 8))


FORMS = ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow's own notes on broken TIFF
@given(st.sampled_from(FORMS), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=8))
def test_an_image_with_other_bytes_decodes_or_is_refused(form: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(_encoded(_gradient(24, 24).convert("RGB"), form))
    for place, value in changes:
        data[place % len(data)] = value
    try:
        found = images.decode(bytes(data), "L", (8, 8))
    except InvalidInput:
        return
    assert found.shape == (8, 8, 1)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("form", FORMS)
def test_an_image_cut_at_any_place_decodes_or_is_refused(form: str) -> None:
    data = _encoded(_gradient(24, 24).convert("RGB"), form)
    for cut in range(0, len(data), max(1, len(data) // 40)):
        try:
            found = images.decode(data[:cut], "L", (8, 8))
        except InvalidInput:
            continue
        assert found.shape == (8, 8, 1)


def test_formats_that_run_programs_are_refused() -> None:
    with pytest.raises(InvalidInput, match="not an image"):
        images.decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n", "L", (8, 8))


def test_decode_all_names_the_row() -> None:
    good = _encoded(_gradient())
    with pytest.raises(InvalidInput, match="image 1:"):
        images.decode_all([good, b"no"], "L", (6, 4))
    with pytest.raises(TooLarge, match="image 1:"):
        images.decode_all([good, _huge_png(50_000, 50_000)], "L", (6, 4))
    with pytest.raises(InvalidInput, match="image 0 is not"):
        images.decode_all([None], "L", (6, 4))  # type: ignore[list-item]


def test_base64_with_and_without_a_data_address() -> None:
    text = base64.b64encode(b"abc").decode()
    assert images.from_base64(text) == images.from_base64(f"data:image/png;base64,{text}") == b"abc"
    for bad in ("***", "abc", "ünï"):
        with pytest.raises(InvalidInput, match="base64"):
            images.from_base64(bad)
