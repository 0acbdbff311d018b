"""The canonical file: bytes follow from rows alone."""

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.datasets import writer
from modelyard.datasets.writer import CanonicalWriter

KINDS = {"n": "number", "t": "text", "c": "category", "i": "image", "b": "boolean"}
rows = st.tuples(
    st.none() | st.floats(),
    st.none() | st.text(st.characters(codec="utf-8"), max_size=20),
    st.none() | st.sampled_from(["x", "y"]),
    st.none() | st.binary(max_size=40),
    st.none() | st.booleans(),
)


def write(path, table, cuts):
    with CanonicalWriter(path, KINDS) as file:
        start = 0
        for end in [*sorted(cuts), len(table)]:
            part = pa.Table.from_pylist(
                [dict(zip([*KINDS, "split"], [*row, "train"], strict=True)) for row in table[start:end]],
                file.schema,
            )
            file.add([column.combine_chunks() for column in part.columns])
            start = end
        file.finish()
    return path.read_bytes()


@settings(max_examples=60, deadline=None)
@given(data=st.data(), table=st.lists(rows, max_size=60))
def test_bytes_do_not_depend_on_batches(data, table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("writer")
    cuts = data.draw(st.lists(st.integers(0, len(table)), max_size=5))
    limits = {"GROUP_ROWS": writer.GROUP_ROWS, "GROUP_BYTES": writer.GROUP_BYTES}
    try:
        writer.GROUP_ROWS, writer.GROUP_BYTES = 16, 200
        assert write(folder / "a", table, cuts) == write(folder / "b", table, [])
    finally:
        writer.GROUP_ROWS, writer.GROUP_BYTES = limits["GROUP_ROWS"], limits["GROUP_BYTES"]


def test_row_groups_are_bounded_in_rows_and_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "GROUP_ROWS", 100)
    monkeypatch.setattr(writer, "GROUP_BYTES", 1000)
    table = [(1.0, "", "x", b"1" * size, True) for size in [0] * 250 + [400] * 5 + [5000] + [0] * 3]
    write(tmp_path / "a", table, [])
    metadata = pq.ParquetFile(tmp_path / "a").metadata
    sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    # 300 bytes of "x" and of "train" for 50 rows, then two images of 400; one that is too large stands alone
    assert sum(sizes) == len(table)
    assert max(sizes) == 100
    assert 1 in sizes
