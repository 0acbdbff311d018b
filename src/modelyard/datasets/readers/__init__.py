"""One file a format, one line in READERS.

A reader gives record batches whose arrays are plain: string, int64, double, bool, timestamp[us] or binary (an
encoded image or sound), with null for missing. Text formats give every value as a string; what it means is inferred
from all of them. A reader can be read again, and gives the same rows in the same order."""

import importlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, cast

from modelyard.datasets.entries import Entry
from modelyard.types.dataset import ColumnKind


class Chunk(NamedTuple):
    """Some rows (a pyarrow RecordBatch) and the split that the source itself puts them into, or None."""

    batch: Any
    split: str | None = None


class Reader(Protocol):
    """An opened source. `kinds` are those that the format itself knows, `label` the column that it knows to
    be one; `notes` are for the profile's warnings."""

    @property
    def columns(self) -> tuple[str, ...]: ...

    @property
    def kinds(self) -> Mapping[str, ColumnKind]: ...

    @property
    def label(self) -> str | None: ...

    @property
    def notes(self) -> Sequence[str]: ...

    def batches(self, names: Collection[str] | None = None) -> Iterator[Chunk]:
        """All rows in order; only the columns in `names` where given. Raises InvalidInput naming file and
        place."""


READERS: Final[dict[str, str]] = {
    "audio": "modelyard.datasets.readers.audio",
    "csv": "modelyard.datasets.readers.csv",
    "idx": "modelyard.datasets.readers.idx",
    "images": "modelyard.datasets.readers.images",
    "jsonl": "modelyard.datasets.readers.jsonl",
    "npz": "modelyard.datasets.readers.npz",
    "parquet": "modelyard.datasets.readers.parquet",
}
"""Format -> module with `open_entries(entries) -> Reader`."""


def open_reader(format_name: str, entries: Sequence[Entry]) -> Reader:
    """Open files of one format, which is a key of READERS."""
    return cast(Reader, importlib.import_module(READERS[format_name]).open_entries(entries))
