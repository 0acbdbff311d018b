"""Formats by content; pickles of any name are refused and never loaded: they are only written here, as a threat."""

import pickle

import numpy as np
import pytest

from modelyard.errors import NotAllowedFormat


class Bomb:
    """Unpickling it ends the process: nothing may."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "name", ["model.pkl", "data.csv", "data.parquet", "upload", "train-images-idx3-ubyte"]
)
def test_pickles(add, tmp_path, protocol, name):
    (tmp_path / name).write_bytes(pickle.dumps([Bomb(), list(range(50))], protocol))
    with pytest.raises(NotAllowedFormat, match="may hold code"):
        add(tmp_path / name)


@pytest.mark.parametrize("protocol", [0, 1])
def test_long_pickles_in_text(add, tmp_path, protocol):
    (tmp_path / "data.csv").write_bytes(pickle.dumps([f"text {place}" for place in range(30_000)], protocol))
    with pytest.raises(NotAllowedFormat, match="a pickle"):
        add(tmp_path / "data.csv")


def test_a_said_format_does_not_let_pickles_in(add, tmp_path):
    for format_name in ("csv", "jsonl", "parquet", "idx", "npz"):
        (tmp_path / "data").write_bytes(pickle.dumps([1, 2, 3]))
        with pytest.raises(NotAllowedFormat, match="a pickle"):
            add(tmp_path / "data", format=format_name)
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.png").write_bytes(pickle.dumps([1, 2, 3]))
    with pytest.raises(NotAllowedFormat, match="a pickle"):
        add(folder)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.npy", b"", "npy; put it into an npz"),
        ("a.joblib", b"anything", "a .joblib file"),
        ("weights.pt", b"PK\x03\x04", "a .pt file"),
        ("a.csv", b"\x1f\x8b\x08\0anything", "gzip of something else"),
        ("a.h5", b"\x89HDF\r\n", "a .h5 file"),
        ("a", b"\x89HDF\r\n", "HDF5"),
        ("a", b"a\0b\0c", "binary data of no known format"),
        ("a.pdf", b"%PDF-1.7", "PDF"),
    ],
)
def test_other_formats(add, tmp_path, name, data, message):
    if not data:
        np.save(tmp_path / name, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    else:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(NotAllowedFormat, match=message):
        add(tmp_path / name)


def test_text_that_begins_like_opcodes_is_text(add, tmp_path):
    (tmp_path / "data.csv").write_text("I1,V2\n" + "1,2\n.,.\n" * 20)
    assert add(tmp_path / "data.csv").manifest.rows == 40
