"""npz without pickles."""

import zipfile

import numpy as np
import pytest

from modelyard.errors import InvalidInput, NotAllowedFormat


class Bomb:
    """Unpickling it raises: nothing may."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


def test_given_splits_and_images(add, tmp_path):
    generator = np.random.default_rng(0)
    arrays = {
        "x_train": generator.integers(0, 256, (40, 6, 5, 3), np.uint8),
        "y_train": np.arange(40).reshape(40, 1) % 4,
        "x_test": generator.integers(0, 256, (12, 6, 5, 3), np.uint8),
        "y_test": np.arange(12).reshape(12, 1) % 4,
    }
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    version = add(tmp_path / "a.npz")
    assert version.manifest.split_rows == {"train": 36, "validation": 4, "test": 12}
    assert [column.kind for column in version.manifest.schema.columns] == ["image", "integer"]
    assert version.columns("test")["label"].tolist() == [place % 4 for place in range(12)]


def test_tables_and_named_columns(add, tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    np.savez(tmp_path / "upload", X=x, y=np.arange(30) / 7)
    (tmp_path / "upload.npz").rename(tmp_path / "upload")  # no name to go by
    version = add(tmp_path / "upload")
    assert [column.name for column in version.manifest.schema.columns] == ["x0", "x1", "label"]
    assert np.array_equal(version.columns()["x1"], x[:, 1].astype(np.float64))
    np.savez(
        tmp_path / "named.npz", age=np.arange(30), name=np.array(["a", "b"] * 15), flag=np.arange(30) > 4
    )
    kinds = {column.name: column.kind for column in add(tmp_path / "named.npz").manifest.schema.columns}
    assert kinds == {"age": "integer", "name": "category", "flag": "boolean"}


def test_pickled_objects_are_refused_unopened(add, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(5), y=np.array([Bomb()] * 5, dtype=object))
    with pytest.raises(NotAllowedFormat, match=r"'y.npy' holds pickled objects"):
        add(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((4, 3)), "y": np.zeros(5)}, "not as many rows; came: {'x0': 4"),
        ({"x": np.zeros((4, 3, 3))}, "float64 of shape"),
        ({"x": np.zeros((4, 3, 3, 2), np.uint8)}, "uint8 of shape"),
        ({"x": np.zeros((4, 2)), "y": np.zeros((4, 2))}, "array 'y'"),
        ({"a": np.zeros((4, 2)), "b": np.zeros(4)}, "cannot be made columns"),
        ({"x": np.zeros(4, complex)}, "type complex128"),
        ({"x_train": np.zeros((4, 2)), "x_test": np.zeros((4, 3))}, "not the same arrays"),
        ({"x": np.zeros((0, 2))}, "no rows"),
    ],
)
def test_refused(add, tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InvalidInput, match=message):
        add(tmp_path / "a.npz")


def test_a_cut_array(add, tmp_path):
    np.save(tmp_path / "x.npy", np.arange(1000))
    whole = (tmp_path / "x.npy").read_bytes()
    for data in (whole[:500], b"\x93NUMPY\x01", b"", whole.replace(b"(1000,)", b"(9**9,)")):
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("x.npy", data)
        with pytest.raises(InvalidInput, match=r"'x.npy' (is cut off|cannot be read)"):
            add(tmp_path / "a.npz")
