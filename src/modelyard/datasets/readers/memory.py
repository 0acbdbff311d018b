"""A reader over arrays that are in memory already: the built-in tables, npz."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelyard.datasets.pictures import encode_png
from modelyard.datasets.readers import Chunk
from modelyard.types.dataset import ColumnKind

_ROWS = 8192


@dataclass(frozen=True, kw_only=True)
class ArrayPart:
    """Columns of equal length, and their split where the source gives one. A column is a 1-D array of
    numbers, booleans or strings, or uint8 pixels [rows, height, width] or [rows, height, width, channels]."""

    columns: dict[str, np.ndarray[Any, Any]]
    split: str | None = None


@dataclass(frozen=True, kw_only=True)
class ArrayReader:
    """`kinds` and `label` as in Reader; pixels become PNG files."""

    parts: Sequence[ArrayPart]
    kinds: Mapping[str, ColumnKind] = field(default_factory=dict)
    label: str | None = None
    notes: Sequence[str] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.parts[0].columns)

    def batches(self, names: Collection[str] | None = None) -> Iterator[Chunk]:
        import pyarrow as pa

        wanted = [name for name in self.columns if names is None or name in names]
        for part in self.parts:
            rows = len(next(iter(part.columns.values())))
            for start in range(0, rows, _ROWS):
                arrays = [_plain(part.columns[name][start : start + _ROWS]) for name in wanted]
                yield Chunk(pa.RecordBatch.from_arrays(arrays, names=wanted), part.split)


def _plain(values: np.ndarray[Any, Any]) -> Any:
    """One of the plain Arrow types of a reader."""
    import pyarrow as pa

    if values.ndim > 1:
        return pa.array([encode_png(pixels) for pixels in values], pa.binary())
    if values.dtype.kind == "f":
        return pa.array(values.astype(np.float64), from_pandas=True)
    if values.dtype.kind in "iu":
        return pa.array(values.astype(np.int64))
    if values.dtype.kind == "b":
        return pa.array(values)
    return pa.array([str(value) for value in values], pa.string())
