"""The canonical Parquet file: the same rows give the same bytes, however they came in batches."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from modelyard.datasets.values import arrow_type
from modelyard.types.dataset import SPLIT_COLUMN, ColumnKind

GROUP_ROWS: Final = 65_536
GROUP_VALUES: Final = 4_194_304
GROUP_BYTES: Final = 32 * 1024 * 1024
"""A row group ends at the first of these: rows, values (rows x columns), bytes of strings and images."""


class CanonicalWriter:
    """Writes batches of the schema's columns and the split. Row groups end where the content says."""

    def __init__(self, path: Path, kinds: dict[str, ColumnKind]) -> None:
        fields = [pa.field(name, arrow_type(kind)) for name, kind in kinds.items()]
        self.schema = pa.schema([*fields, pa.field(SPLIT_COLUMN, pa.string())])
        self._group_rows = max(1, min(GROUP_ROWS, GROUP_VALUES // len(self.schema)))
        self._variable = [field.name for field in self.schema if _is_variable(field.type)]
        measured = [n for n, kind in kinds.items() if kind in ("number", "integer", "timestamp")]
        coded = [n for n, kind in kinds.items() if kind in ("category", "boolean")]
        self._file = pq.ParquetWriter(
            path,
            self.schema,
            version="2.6",
            compression="zstd",
            compression_level=1,
            use_dictionary=[*coded, SPLIT_COLUMN],
            write_statistics=measured or False,
            store_schema=False,
        )
        self._pending: list[Any] = []
        self._rows = 0
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, arrays: Sequence[Any]) -> None:
        """Rows as one array for each field of `schema`."""
        batch = pa.RecordBatch.from_arrays(list(arrays), schema=self.schema)
        self._pending.append(batch)
        self._rows += batch.num_rows
        self._bytes += int(_variable_bytes(batch, self._variable).sum())
        if self._is_full():
            self._write_full()

    def finish(self) -> None:
        """Write what is left. Without it the file is not complete."""
        if self._rows:
            self._write_group(self._gathered())
        self._pending, self._rows, self._bytes = [], 0, 0

    def _is_full(self) -> bool:
        return self._rows >= self._group_rows or self._bytes > GROUP_BYTES

    def _write_full(self) -> None:
        batch = self._gathered()
        while self._is_full():
            ends = np.cumsum(_variable_bytes(batch, self._variable))
            rows = int(np.searchsorted(ends, GROUP_BYTES, side="right"))
            rows = max(1, min(rows, self._group_rows, batch.num_rows))
            self._write_group(batch.slice(0, rows))
            batch = batch.slice(rows)
            self._rows = batch.num_rows
            self._bytes = int(_variable_bytes(batch, self._variable).sum())
        self._pending = [batch]

    def _gathered(self) -> Any:
        return pa.concat_batches(self._pending) if len(self._pending) > 1 else self._pending[0]

    def _write_group(self, batch: Any) -> None:
        self._file.write_table(pa.Table.from_batches([batch]), row_group_size=batch.num_rows)


def _is_variable(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _variable_bytes(batch: Any, names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Bytes of strings and images in each row, int64 [rows]."""
    total = np.zeros(batch.num_rows, np.int64)
    for name in names:
        lengths = pc.binary_length(batch.column(name)).fill_null(0)
        total += lengths.to_numpy(zero_copy_only=False).astype(np.int64)
    return total
