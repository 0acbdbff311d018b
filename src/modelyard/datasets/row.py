"""One row of a version, without reading the others."""

import datetime
import math
from pathlib import Path
from typing import Any

from modelyard.errors import InvalidInput, UnknownName
from modelyard.types.dataset import SPLIT_COLUMN, SPLITS, DatasetManifest


def read_row(parquet: Path, manifest: DatasetManifest, split: str, index: int) -> dict[str, Any]:
    """Row `index` (from 0) of a split as Python values; None where a value is missing, encoded files as
    bytes, times as ISO 8601 text.

    Reads the split column up to the row's group, and that group. Raises UnknownName for a split that does not
    exist and InvalidInput for a row that does not.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)
    rows = manifest.split_rows.get(split, 0)
    if not 0 <= index < rows:
        allowed = f"0 to {rows - 1}" if rows else "no row: the split is empty"
        raise InvalidInput(f"the split {split!r} has no such row", came=index, allowed=allowed)
    names = [column.name for column in manifest.schema.columns]
    with pq.ParquetFile(parquet) as file:
        for group in range(file.num_row_groups):
            wanted = pc.equal(file.read_row_group(group, [SPLIT_COLUMN])[SPLIT_COLUMN], split)
            inside = pc.sum(wanted).as_py() or 0
            if index < inside:
                row = file.read_row_group(group, names).filter(wanted).slice(index, 1).to_pylist()[0]
                return {name: _plain(row[name]) for name in names}
            index -= inside
    raise InvalidInput(f"the split {split!r} has fewer rows than its manifest says", came=rows)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, float) and math.isnan(value):
        return None
    return value
