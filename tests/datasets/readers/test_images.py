"""Folders and zips of images."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from modelyard.errors import InvalidInput, TooLarge


def image_bytes(seed, kind="PNG", mode="RGB"):
    shape = (6, 7, 3) if mode == "RGB" else (6, 7)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def a_folder(root, splits=("",), per_class=10):
    for number, split in enumerate(splits):
        for place in range(2 * per_class):
            name = "cat" if place % 2 else "dog"
            path = root / split / name / f"{place:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image_bytes(1000 * number + place))
    return root


def zipped(folder, path, prefix=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in reversed(sorted(folder.rglob("*.*"))):
            archive.write(file, prefix + file.relative_to(folder).as_posix())
        archive.writestr("__MACOSX/._000.png", b"clutter")
    return path


def test_a_folder_for_each_class_and_its_zips_are_one_version(add, tmp_path):
    folder = a_folder(tmp_path / "pets")
    (folder / "README.md").write_text("pets")
    (folder / ".DS_Store").write_text("clutter")
    version = add(folder)
    assert version.manifest.class_names == ("cat", "dog")
    assert version.manifest.schema.label == "label"
    assert version.manifest.split_rows == {"train": 16, "validation": 2, "test": 2}
    assert set(version.columns()["image"]) == {image_bytes(place) for place in range(20)}
    assert version.digest == add(zipped(folder, tmp_path / "flat.zip")).digest
    assert version.digest == add(zipped(folder, tmp_path / "deep", "data/pets/")).digest


def test_folders_above_the_classes_give_the_splits(add, tmp_path):
    folder = a_folder(tmp_path / "pets", ("train", "val", "test"))
    version = add(folder)
    assert version.manifest.split_rows == {"train": 20, "validation": 20, "test": 20}
    assert set(version.columns("test")["image"]) == {image_bytes(2000 + place) for place in range(20)}
    assert version.digest == add(zipped(folder, tmp_path / "a.zip", "top/")).digest


def test_images_without_classes(add, tmp_path):
    for place in range(12):
        (tmp_path / f"{place}.jpg").write_bytes(image_bytes(place, "JPEG"))
    version = add(*tmp_path.glob("*.jpg"))
    assert [column.name for column in version.manifest.schema.columns] == ["image"]
    assert version.manifest.schema.label is None


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_metadata(add, tmp_path, kind):
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    lines = ["file_name,weight,label"]
    for place in range(20):
        (folder / "images" / f"{place}.png").write_bytes(image_bytes(place))
        lines.append(f"images/{place}.png,{place / 2},{'ab'[place % 2]}")
    if kind == "jsonl":
        rows = [line.split(",") for line in lines[1:]]
        lines = [f'{{"file_name": "{n}", "weight": {w}, "label": "{label}"}}' for n, w, label in rows]
    (folder / f"metadata.{kind}").write_text("\n".join(lines) + "\n")
    (folder / "images" / "extra.png").write_bytes(image_bytes(99))
    version = add(folder)
    kinds = {column.name: column.kind for column in version.manifest.schema.columns}
    assert kinds == {"image": "image", "weight": "number", "label": "category"}
    assert version.columns()["weight"].tolist() == [place / 2 for place in range(20)]
    assert version.columns()["image"][3] == image_bytes(3)
    assert "1 images are not named in the metadata" in version.profile.warnings[0]


def test_what_is_nested_in_metadata_is_its_json(add, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    for place in range(12):
        (folder / f"{place}.png").write_bytes(image_bytes(place))
    row = '{{"file_name": "{0}.png", "objects": {{"bbox": [[{0}, 2, 3, 4]], "categories": ["a"]}}}}'
    (folder / "metadata.jsonl").write_text("\n".join(row.format(place) for place in range(12)) + "\n")
    version = add(folder)
    assert version.columns()["objects"][2] == '{"bbox":[[2,2,3,4]],"categories":["a"]}'
    assert version.manifest.schema.column("objects").kind in ("text", "category")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,label\n0.png,a\n", "no column 'file_name'"),
        ("file_name,label\ngone.png,a\n", "names an image that is not there; came: gone.png"),
        ("file_name,label\n../0.png,a\n", "line 2 of 'metadata.csv' names no image"),
        ("file_name,label\n0.png\n", "1 fields in line 2"),
        ("file_name,image\n0.png,a\n", "column 'image'"),
        ("", "'metadata.csv' is empty"),
    ],
)
def test_metadata_that_does_not_fit(add, tmp_path, table, message):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "0.png").write_bytes(image_bytes(0))
    (folder / "metadata.csv").write_text(table)
    with pytest.raises(InvalidInput, match=message):
        add(folder)


@pytest.mark.parametrize("data", [b"", b"not an image", image_bytes(1)[:60], image_bytes(1, "JPEG")[:400]])
def test_an_image_that_is_none_is_named(add, tmp_path, data):
    folder = a_folder(tmp_path / "pets")
    (folder / "cat" / "broken.png").write_bytes(data)
    with pytest.raises(InvalidInput, match=r"'cat/broken.png' is (not an image|empty)"):
        add(folder)


def huge_png(side):
    """A PNG of side x side pixels that is a header and a few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


@pytest.mark.parametrize("side", [8001, 10_000, 50_000])
def test_a_huge_image_is_refused_from_its_header(add, tmp_path, side):
    folder = a_folder(tmp_path / "pets")
    (folder / "cat" / "huge.png").write_bytes(huge_png(side))
    with pytest.raises(TooLarge, match=r"'cat/huge.png'.*at most 24 megapixels"):
        add(folder)


def test_some_in_folders_of_classes_and_some_not(add, tmp_path):
    folder = a_folder(tmp_path / "pets")
    (folder / "stray.png").write_bytes(image_bytes(5))
    with pytest.raises(
        InvalidInput, match=r"some images lie in the folder of a class; came: stray.png|stray.png"
    ):
        add(folder)


def test_images_beside_a_table(add, tmp_path):
    folder = a_folder(tmp_path / "pets")
    (folder / "prices.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidInput, match=r"not of one format; came: csv.*images"):
        add(folder)
    assert add(folder, format="images").manifest.rows == 20


def test_a_class_with_one_image(add, tmp_path):
    folder = a_folder(tmp_path / "pets")
    (folder / "bird").mkdir()
    (folder / "bird" / "0.png").write_bytes(image_bytes(77))
    with pytest.raises(InvalidInput, match="one row of class 'bird'"):
        add(folder)
    assert add(folder, stratify=False).manifest.class_names == ("bird", "cat", "dog")
