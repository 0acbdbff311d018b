"""CSV (RFC 4180): UTF-8, a header line, a comma, semicolon, tab or bar between the fields."""

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv as pacsv

from modelyard.datasets.entries import Entry, splits_of_names
from modelyard.datasets.readers import Chunk, Reader
from modelyard.datasets.readers.tables import checked_names, demand_same
from modelyard.errors import InvalidInput, TooLarge
from modelyard.types.dataset import ColumnKind

BLOCK_BYTES: Final = 8 * 1024 * 1024
"""Bytes that are parsed at a time; a row must fit into them."""

_DELIMITERS = ",;\t|"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class _File:
    entry: Entry
    names: list[str]  # as in the header
    kept: list[str]  # as columns are called
    delimiter: str
    split: str | None


@dataclass(frozen=True)
class CsvReader:
    """All values as strings."""

    files: list[_File]
    label: str | None = None
    kinds: dict[str, ColumnKind] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.files[0].kept)

    def batches(self, names: Collection[str] | None = None) -> Iterator[Chunk]:
        wanted = [name for name in self.columns if names is None or name in names]
        for file in self.files:
            for batch in _read(file):
                arrays = [batch.column(file.kept.index(name)) for name in wanted]
                yield Chunk(pa.RecordBatch.from_arrays(arrays, names=wanted), file.split)


def open_entries(entries: Sequence[Entry]) -> Reader:
    """Files with the same columns, one after the other. Raises InvalidInput for a header that cannot be
    used."""
    splits = splits_of_names(entries)
    files = [_open(entry, split) for entry, split in zip(entries, splits, strict=True)]
    for file in files[1:]:
        demand_same(files[0].kept, files[0].entry.name, file.kept, file.entry.name)
    return CsvReader(files)


def _open(entry: Entry, split: str | None) -> _File:
    with entry.disk_path.open("rb") as raw:
        head = raw.read(BLOCK_BYTES).removeprefix(_BOM)
    try:
        text = head.decode("utf-8", "strict" if len(head) < BLOCK_BYTES else "ignore")
    except UnicodeDecodeError as error:
        raise _not_utf8(entry) from error
    delimiter = _delimiter(text.lstrip("\r\n").split("\n", 1)[0])
    try:
        names = next((row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row), None)
    except csv.Error as error:
        raise InvalidInput(f"the header of {entry.name!r} cannot be read", came=str(error)) from error
    if names is None:
        raise InvalidInput(f"file {entry.name!r} holds nothing but blanks", allowed="a header line and rows")
    return _File(entry, names, checked_names(names, entry.name), delimiter, split)


def _delimiter(line: str) -> str:
    """The most frequent one in the header; a comma where there is none."""
    bare = "".join(part for place, part in enumerate(line.split('"')) if place % 2 == 0)
    return max(_DELIMITERS, key=bare.count)


def _read(file: _File) -> Iterator[Any]:
    ragged: list[Any] = []

    def refuse(row: Any) -> str:
        ragged.append(row)
        return "error"

    try:
        with pacsv.open_csv(
            file.entry.disk_path,
            read_options=pacsv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
            parse_options=pacsv.ParseOptions(
                delimiter=file.delimiter, newlines_in_values=True, invalid_row_handler=refuse
            ),
            convert_options=pacsv.ConvertOptions(
                column_types={name: pa.string() for name in file.names}, strings_can_be_null=False
            ),
        ) as reader:
            yield from reader
    except pa.ArrowInvalid as error:
        raise _explained(file, str(error), bool(ragged)) from error


def _explained(file: _File, text: str, ragged: bool) -> InvalidInput:
    name = file.entry.name
    if "UTF8" in text or "UTF-8" in text:
        return _not_utf8(file.entry)
    if "straddling" in text:
        return TooLarge(
            f"a row of {name!r}", came=f"over {BLOCK_BYTES} bytes", allowed=f"at most {BLOCK_BYTES}"
        )
    if ragged:
        return _ragged(file)
    return InvalidInput(f"{name!r} cannot be read as CSV", came=text.splitlines()[0][:200])


def _ragged(file: _File) -> InvalidInput:
    """Find the line again with a parser that counts lines."""
    expected = len(file.names)
    with file.entry.disk_path.open(encoding="utf-8-sig", errors="replace", newline="") as text:
        rows = csv.reader(text, delimiter=file.delimiter)
        found = _first_ragged(rows, expected)
    came = "a row with another number of fields" if found is None else f"{found[1]} fields in line {found[0]}"
    return InvalidInput(
        f"the rows of {file.entry.name!r} have not as many fields as its header",
        came=came,
        allowed=f"{expected} fields in every line",
    )


def _first_ragged(rows: Any, expected: int) -> tuple[int, int] | None:
    line = 1
    try:
        for row in rows:
            if row and len(row) != expected:
                return line, len(row)
            line = rows.line_num + 1
    except csv.Error:
        return None
    return None


def _not_utf8(entry: Entry) -> InvalidInput:
    with entry.disk_path.open("rb") as raw:
        for number, line in enumerate(raw, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = line[error.start]
                return InvalidInput(
                    f"file {entry.name!r} is not UTF-8",
                    came=f"byte 0x{byte:02x} in line {number}",
                    allowed="text in UTF-8; save it so",
                )
    return InvalidInput(f"file {entry.name!r} is not UTF-8")
