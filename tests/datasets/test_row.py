"""One row beside all rows."""

import pytest

from modelyard.datasets import writer
from modelyard.datasets.row import read_row
from modelyard.errors import InvalidInput, UnknownName


def test_rows_are_those_of_the_columns(add, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "GROUP_ROWS", 64)
    lines = "".join(f"{i},{'' if i % 3 else i / 2},2024-01-{i % 28 + 1:02}\n" for i in range(300))
    (tmp_path / "a.csv").write_text("i,gaps,when\n" + lines)
    version = add(tmp_path / "a.csv")
    data = version.folder / "data.parquet"
    for split in ("train", "test"):
        columns = version.columns(split)
        for index in (0, 7, version.manifest.split_rows[split] - 1):
            row = read_row(data, version.manifest, split, index)
            assert row["i"] == columns["i"][index]
            assert row["gaps"] == (None if row["i"] % 3 else row["i"] / 2)
            assert row["when"] == str(columns["when"][index].astype("datetime64[s]"))
    with pytest.raises(InvalidInput, match=r"no such row; came: 30; allowed: 0 to 29"):
        read_row(data, version.manifest, "test", 30)
    with pytest.raises(UnknownName, match="unknown split 'tests'; did you mean 'test'"):
        read_row(data, version.manifest, "tests", 0)
