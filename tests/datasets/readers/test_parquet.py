"""Parquet: types, images inside, files that are damaged."""

import decimal
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from modelyard.errors import InvalidInput


def a_png(value):
    file = io.BytesIO()
    Image.fromarray(np.full((4, 5), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_types_become_kinds(add, tmp_path):
    rows = 40
    table = pa.table(
        {
            "small": pa.array([place % 100 for place in range(rows)], pa.int8()),
            "single": pa.array([place / 4 for place in range(rows)], pa.float32()),
            "money": pa.array([decimal.Decimal(place) / 8 for place in range(rows)], pa.decimal128(12, 4)),
            "coded": pa.array(["a", "b"] * (rows // 2)).dictionary_encode(),
            "large": pa.array(["a", "b"] * (rows // 2), pa.large_string()),
            "day": pa.array([place for place in range(rows)], pa.date32()),
            "zoned": pa.array([place * 10**9 for place in range(rows)], pa.timestamp("ns", "Europe/Berlin")),
            "nothing": pa.nulls(rows),
            "nan": [float("nan"), 1.5] * (rows // 2),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    version = add(tmp_path / "a.parquet")
    assert [column.kind for column in version.manifest.schema.columns] == [
        "integer",
        "number",
        "number",
        "category",
        "category",
        "timestamp",
        "timestamp",
        "number",
        "number",
    ]
    read = version.columns()
    assert read["money"][3] == 0.375
    assert str(read["zoned"][1]) == "1970-01-01T00:00:01.000000"
    assert np.isnan(read["nothing"]).all()
    assert [c.name for c in version.manifest.schema.columns if c.nullable] == ["nothing", "nan"]
    assert "column 'nothing' is empty." in version.profile.warnings


@pytest.mark.parametrize("nested", [False, True])
def test_images_as_bytes_and_as_hugging_face_writes_them(add, tmp_path, nested):
    images = [a_png(place) for place in range(30)]
    kept = [{"bytes": image, "path": None} for image in images] if nested else images
    pq.write_table(
        pa.table({"image": kept, "label": [place % 3 for place in range(30)]}), tmp_path / "a.parquet"
    )
    version = add(tmp_path / "a.parquet", seed=3)
    assert [column.kind for column in version.manifest.schema.columns] == ["image", "integer"]
    assert version.columns()["image"].tolist() == images
    assert version.manifest.class_names == ("0", "1", "2")


def test_an_image_that_is_none_is_named_by_its_row(add, tmp_path):
    pq.write_table(pa.table({"image": [a_png(1)] * 10 + [b"no image"]}), tmp_path / "a.parquet")
    with pytest.raises(InvalidInput, match=r"'a.parquet: image, row 11' is not an image"):
        add(tmp_path / "a.parquet")


def test_nested_columns_are_refused(add, tmp_path):
    pq.write_table(pa.table({"a": [[1, 2], [3]]}), tmp_path / "a.parquet")
    with pytest.raises(InvalidInput, match=r"column 'a' of 'a.parquet' cannot be used.*list<"):
        add(tmp_path / "a.parquet")


def test_damaged_files(add, tmp_path):
    pq.write_table(pa.table({"a": np.arange(100_000)}), tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped.parquet").write_bytes(whole[:1000] + bytes(2000) + whole[3000:])
    for name in ("cut", "flipped"):
        with pytest.raises(InvalidInput, match=f"'{name}.parquet' is not a Parquet file that can be read"):
            add(tmp_path / f"{name}.parquet")


def test_whole_numbers_beyond_doubles_stay_exact(add, tmp_path):
    values = [2**60 + place for place in range(30)]
    pq.write_table(pa.table({"id": values}), tmp_path / "a.parquet")
    assert add(tmp_path / "a.parquet").columns()["id"].tolist() == values


def test_types_that_differ_between_files_meet(add, tmp_path):
    pq.write_table(pa.table({"a": [1, 2, 3] * 10}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"a": [0.5] * 10}), tmp_path / "b.parquet")
    pq.write_table(pa.table({"a": ["x", "y"] * 10}), tmp_path / "c.parquet")
    assert add(tmp_path / "a.parquet", tmp_path / "b.parquet").manifest.schema.columns[0].kind == "number"
    mixed = add(tmp_path / "a.parquet", tmp_path / "b.parquet", tmp_path / "c.parquet")
    assert mixed.manifest.schema.columns[0].kind == "category"
    assert set(mixed.columns()["a"]) == {"1", "2", "3", "0.5", "x", "y"}
