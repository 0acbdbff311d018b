"""idx files as the MNIST family has them."""

import gzip
import io
import struct

import numpy as np
import pytest
from PIL import Image

from modelyard.errors import InvalidInput, TooLarge


def pixels_of(rows, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (rows, 5, 4), np.uint8)


def idx_images(pixels):
    return struct.pack(">IIII", 0x803, *pixels.shape) + pixels.tobytes()


def idx_labels(labels):
    return struct.pack(">II", 0x801, len(labels)) + bytes(labels)


def write_family(folder, packed=lambda data: data, suffix=""):
    for word, rows in (("train", 40), ("t10k", 10)):
        images = packed(idx_images(pixels_of(rows, rows)))
        (folder / f"{word}-images-idx3-ubyte{suffix}").write_bytes(images)
        labels = packed(idx_labels([place % 2 for place in range(rows)]))
        (folder / f"{word}-labels-idx1-ubyte{suffix}").write_bytes(labels)
    return sorted(folder.iterdir())


def test_the_mnist_family(add, tmp_path):
    version = add(*write_family(tmp_path))
    assert version.manifest.split_rows == {"train": 36, "validation": 4, "test": 10}
    assert version.manifest.class_names == ("0", "1")
    test = version.columns("test")
    read = np.stack([np.asarray(Image.open(io.BytesIO(image))) for image in test["image"]])
    assert np.array_equal(read, pixels_of(10, 10))
    assert test["label"].tolist() == ["0", "1"] * 5


def test_gzipped_files_are_the_same_version(add, tmp_path):
    (tmp_path / "plain").mkdir()
    (tmp_path / "packed").mkdir()
    plain = add(*write_family(tmp_path / "plain"))
    assert plain.digest == add(*write_family(tmp_path / "packed", gzip.compress, ".gz")).digest
    assert plain.digest == add(tmp_path / "packed").digest


def test_two_files_of_any_name_are_split_at_random(add, tmp_path):
    (tmp_path / "a").write_bytes(idx_images(pixels_of(30)))
    (tmp_path / "b").write_bytes(idx_labels([place % 3 for place in range(30)]))
    assert add(tmp_path / "a", tmp_path / "b").manifest.split_rows == {
        "train": 24,
        "validation": 3,
        "test": 3,
    }


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        (idx_images(pixels_of(9))[:-1], idx_labels([0] * 9), InvalidInput, "cut off"),
        (idx_images(pixels_of(9)) + b"x", idx_labels([0] * 9), InvalidInput, "more bytes than its header"),
        (idx_images(pixels_of(9)), idx_labels([0] * 8), InvalidInput, "9 images of 5 x 4 and 8 labels"),
        (struct.pack(">IIII", 0x803, 9, 0, 4), idx_labels([0] * 9), InvalidInput, "9 images of 0 x 4"),
        (struct.pack(">IIII", 0x803, 2, 50_000, 50_000), idx_labels([0] * 2), TooLarge, "idx file 'images'"),
        (struct.pack(">II", 0xD03, 9), idx_labels([0]), InvalidInput, "neither images nor labels"),
        (
            gzip.compress(idx_images(pixels_of(9)))[:-30],
            idx_labels([0] * 9),
            InvalidInput,
            "damaged or cut off",
        ),
        (idx_labels([0] * 9), idx_labels([0] * 9), InvalidInput, "two idx files stand for the same"),
    ],
)
def test_refused(add, tmp_path, images, labels, error, message):
    (tmp_path / "images").write_bytes(images)
    (tmp_path / "labels").write_bytes(labels)
    with pytest.raises(error, match=message):
        add(tmp_path / "images", tmp_path / "labels")


def test_files_that_do_not_pair(add, tmp_path):
    files = write_family(tmp_path)
    with pytest.raises(InvalidInput, match="do not pair"):
        add(*[file for file in files if file.name != "t10k-labels-idx1-ubyte"])
