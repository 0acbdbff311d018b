"""Reading versions back."""

import numpy as np
import pytest

from modelyard.datasets import open_dataset
from modelyard.errors import Corrupt, InvalidInput, NotFound, UnknownName


@pytest.fixture
def version(add, tmp_path):
    rows = "".join(f"{i / 2},{i},{'' if i % 3 else i},{i % 2 == 0},w{i % 5}\n" for i in range(1000))
    (tmp_path / "a.csv").write_text("n,i,gaps,flag,word\n" + rows)
    return add(tmp_path / "a.csv")


def test_columns_by_split(version):
    everything = version.columns()
    assert {name: values.dtype for name, values in everything.items()} == {
        "n": np.float64,
        "i": np.int64,
        "gaps": np.float64,
        "flag": np.bool_,
        "word": np.object_,
    }
    parts = [version.columns(split, ["i"])["i"] for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [800, 100, 100]
    assert sorted(np.concatenate(parts)) == list(range(1000))
    for part in parts:
        assert list(part) == sorted(part)  # the order of the rows is kept


@pytest.mark.parametrize("rows", [1, 7, 100, 799, 800, 5000])
def test_batches_are_the_columns_in_parts(version, rows):
    batches = list(version.batches("train", ["i", "word"], rows=rows))
    assert [len(batch["i"]) for batch in batches[:-1]] == [rows] * (len(batches) - 1)
    whole = version.columns("train")
    assert np.array_equal(np.concatenate([batch["i"] for batch in batches]), whole["i"])
    assert np.array_equal(np.concatenate([batch["word"] for batch in batches]), whole["word"])


def test_unknown_splits_and_columns(version):
    with pytest.raises(UnknownName, match="unknown split 'dev'"):
        version.columns("dev")
    with pytest.raises(UnknownName, match="unknown column 'words'; did you mean 'word'"):
        next(version.batches("train", ["words"]))


def test_a_flipped_byte_is_found_and_its_file_named(version):
    path = version.folder / "data.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(Corrupt, match=r"'data.parquet' does not match its digest"):
        open_dataset(version.folder)
    assert open_dataset(version.folder, verify=False).manifest == version.manifest
    path.unlink()
    with pytest.raises(Corrupt, match=r"data.parquet"):
        open_dataset(version.folder)


def test_a_changed_manifest_is_found_by_the_versions_digest(version):
    path = version.folder / "dataset.json"
    assert open_dataset(version.folder, digest=version.digest).digest == version.digest
    path.write_bytes(path.read_bytes().replace(b'"rows": 1000', b'"rows": 1001'))
    with pytest.raises(Corrupt, match=r"dataset.json"):
        open_dataset(version.folder, digest=version.digest)
    path.write_text("{}")
    with pytest.raises(InvalidInput, match="not the manifest"):
        open_dataset(version.folder)
    path.unlink()
    with pytest.raises(NotFound, match=r"dataset.json is missing"):
        open_dataset(version.folder)
