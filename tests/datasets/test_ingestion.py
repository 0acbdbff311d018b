"""Files into versions: the same content gives the same version, and errors leave nothing."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.datasets import IngestOptions, ingest, open_dataset
from modelyard.errors import Cancelled, Conflict, InvalidInput, UnknownName


def a_table(rows=3000, seed=0):
    generator = np.random.default_rng(seed)
    return pa.table(
        {
            "number": generator.normal(size=rows),
            "integer": generator.integers(-1000, 1000, rows),
            "whole": generator.integers(0, 9, rows).astype(np.float64),
            "boolean": generator.random(rows) > 0.5,
            "category": generator.choice(["red", "green", "blue, or so", 'a "quoted" one'], rows),
            "text": [f"text number {place},\nin two lines" for place in range(rows)],
            "when": pa.array(generator.integers(0, 2**50, rows), pa.timestamp("us")),
            "gaps": [None if place % 7 == 0 else place / 3 for place in range(rows)],
            "words with gaps": [None if place % 5 == 0 else "ab"[place % 2] for place in range(rows)],
            "code": [f"0{place % 50:03}" for place in range(rows)],
            "label": generator.choice(["cat", "dog"], rows),
        }
    )


def write_jsonl(table, path):
    with path.open("w") as file:
        for row in table.to_pylist():
            row = {n: v.isoformat() if hasattr(v, "isoformat") else v for n, v in row.items()}
            file.write(json.dumps(row) + "\n")


def test_csv_json_lines_and_parquet_of_one_table_are_one_version(add, tmp_path):
    table = a_table()
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=700)
    pacsv.write_csv(table, tmp_path / "a.csv")
    write_jsonl(table, tmp_path / "a.jsonl")
    versions = [add(tmp_path / f"a.{suffix}") for suffix in ("parquet", "csv", "jsonl")]
    assert len({version.digest for version in versions}) == 1
    kinds = {column.name: column.kind for column in versions[0].manifest.schema.columns}
    assert kinds == {
        "number": "number",
        "integer": "integer",
        "whole": "integer",
        "boolean": "boolean",
        "category": "category",
        "text": "text",
        "when": "timestamp",
        "gaps": "number",
        "words with gaps": "category",
        "code": "category",
        "label": "category",
    }
    read = versions[0].columns()
    assert np.array_equal(read["number"], table["number"].to_numpy())
    assert read["text"].tolist() == table["text"].to_pylist()
    assert read["words with gaps"].tolist() == table["words with gaps"].to_pylist()
    assert np.array_equal(read["gaps"], table["gaps"].to_numpy(), equal_nan=True)
    assert np.array_equal(read["when"], table["when"].to_numpy())


def test_a_version_does_not_depend_on_row_groups_and_files(add, tmp_path):
    table = a_table(20_000)
    pq.write_table(table, tmp_path / "one.parquet")
    pq.write_table(table, tmp_path / "many.parquet", row_group_size=999)
    folder = tmp_path / "parts"
    folder.mkdir()
    pq.write_table(table.slice(0, 12_345), folder / "part-0.parquet")
    pq.write_table(table.slice(12_345), folder / "part-1.parquet")
    assert len({add(tmp_path / name).digest for name in ("one.parquet", "many.parquet", "parts")}) == 1


def test_other_content_is_another_version(add, tmp_path):
    table = a_table(50)
    pq.write_table(table, tmp_path / "a.parquet")
    pq.write_table(
        table.set_column(0, "number", [table["number"].to_numpy() + 1e-12]), tmp_path / "b.parquet"
    )
    first = add(tmp_path / "a.parquet", stratify=False)
    assert first.digest != add(tmp_path / "b.parquet", stratify=False).digest
    assert first.digest != add(tmp_path / "a.parquet", stratify=False, seed=1).digest
    assert first.digest == add(tmp_path / "a.parquet", stratify=False).digest


cells = st.one_of(
    st.none(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(cells, cells), min_size=10, max_size=30))
def test_any_cells_read_the_same_from_csv_and_json_lines(rows, tmp_path_factory, recorder):
    folder = tmp_path_factory.mktemp("cells")
    with (folder / "a.jsonl").open("w") as file:
        for one, other in rows:
            file.write(json.dumps({"one": one, "other": other, "n": 1}) + "\n")
    with (folder / "a.csv").open("w", newline="") as file:
        file.write("one,other,n\n")
        for row in rows:
            file.write(",".join([*(as_field(cell) for cell in row), "1"]) + "\n")
    digests = set()
    for name in ("a.csv", "a.jsonl"):
        ingest([folder / name], IngestOptions(), folder / f"{name}.out", recorder)
        digests.add(open_dataset(folder / f"{name}.out").digest)
    assert len(digests) == 1


def as_field(cell):
    if cell is None:
        return ""
    text = json.dumps(cell) if isinstance(cell, bool) else str(cell)
    return '"' + text.replace('"', '""') + '"'


def test_a_table_says_its_columns_in_the_profile(add, tmp_path):
    pq.write_table(a_table(), tmp_path / "a.parquet")
    text = (add(tmp_path / "a.parquet").folder / "profile.txt").read_text()
    assert "3,000 rows, 11 columns, label label" in text
    assert "train 2,400, validation 300, test 300" in text


def test_options_override_drop_and_name_the_label(add, tmp_path):
    (tmp_path / "a.csv").write_text(
        "id,zip,size,price\n" + "".join(f"{i},{i % 9},{i},{i * 2}\n" for i in range(60))
    )
    version = add(
        tmp_path / "a.csv", columns={"zip": "category", "price": "number"}, drop=("id",), label="price"
    )
    kinds = {column.name: column.kind for column in version.manifest.schema.columns}
    assert kinds == {"zip": "category", "size": "integer", "price": "number"}
    assert version.manifest.schema.label == "price"
    assert version.manifest.class_names == ()
    assert set(version.columns()["zip"]) == set("012345678")


def test_a_value_that_is_not_of_the_said_kind_is_named(add, tmp_path):
    (tmp_path / "a.csv").write_text("n,m\n" + "".join(f"{i},x\n" for i in range(40)) + "ten,x\n")
    with pytest.raises(InvalidInput, match=r"column 'n'.*'ten' in row 41"):
        add(tmp_path / "a.csv", columns={"n": "number"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "pirce"}, "unknown label column 'pirce'; did you mean 'price'.*allowed: price, size"),
        ({"drop": ("sizes",)}, "unknown column 'sizes'; did you mean 'size'"),
        ({"columns": {"seize": "number"}}, "unknown column 'seize'; did you mean 'size'"),
        ({"split_column": "fold"}, "unknown column 'fold'"),
    ],
)
def test_names_of_columns_that_are_not_there(add, tmp_path, options, message):
    (tmp_path / "a.csv").write_text("size,price\n" + "1,2\n" * 30)
    with pytest.raises(UnknownName, match=message):
        add(tmp_path / "a.csv", **options)


def test_nothing_is_left_of_a_cancelled_run(tmp_path, recorder):
    pq.write_table(a_table(), tmp_path / "a.parquet")
    for checks in range(4):
        recorder.cancel_after = checks
        with pytest.raises(Cancelled):
            ingest([tmp_path / "a.parquet"], IngestOptions(), tmp_path / "out" / "version", recorder)
        assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_with_something_in_it_is_kept(tmp_path, recorder):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("keep")
    with pytest.raises(Conflict, match="'mine'"):
        ingest([], IngestOptions(builtin="wine"), tmp_path / "mine", recorder)
    assert (tmp_path / "mine" / "note.txt").read_text() == "keep"


def test_progress_goes_forward(add, tmp_path, recorder):
    pq.write_table(a_table(), tmp_path / "a.parquet")
    add(tmp_path / "a.parquet")
    done = [done for done, _, _ in recorder.progressed]
    assert done == sorted(done)
    assert recorder.progressed[-1][:2] == (4, 4)


def test_messages_name_no_path(add, tmp_path):
    (tmp_path / "a.csv").write_text("a,a\n1,2\n")
    with pytest.raises(InvalidInput) as caught:
        add(tmp_path / "a.csv")
    assert str(tmp_path) not in caught.value.message
    assert "'a.csv'" in caught.value.message


def test_a_column_called_split_must_be_declared(add, tmp_path):
    rows = "".join(f"{i},{'train' if i % 5 else 'test'}\n" for i in range(100))
    (tmp_path / "a.csv").write_text("x,split\n" + rows)
    with pytest.raises(InvalidInput, match=r"'split'.*split_column: split"):
        add(tmp_path / "a.csv")
    declared = add(tmp_path / "a.csv", split_column="split", fractions={"train": 1.0})
    assert declared.manifest.split_rows == {"train": 80, "validation": 0, "test": 20}
    assert [column.name for column in declared.manifest.schema.columns] == ["x"]
    dropped = add(tmp_path / "a.csv", drop=("split",))
    assert dropped.manifest.split_rows == {"train": 80, "validation": 10, "test": 10}


def test_nothing_to_read(add, tmp_path):
    with pytest.raises(InvalidInput, match=r"nothing to read.*digits"):
        add()
    with pytest.raises(InvalidInput, match=r"there is no file 'gone.csv'"):
        add(tmp_path / "gone.csv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidInput, match="folder 'folder' has no files"):
        add(tmp_path / "folder")
    (tmp_path / "a.csv").write_text("a\n1\n")
    with pytest.raises(InvalidInput, match="takes no files"):
        add(tmp_path / "a.csv", builtin="wine")
    with pytest.raises(InvalidInput, match="no column is left"):
        add(tmp_path / "a.csv", drop=("a",))
