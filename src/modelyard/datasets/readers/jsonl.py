"""JSON lines: one object a line, UTF-8."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import pyarrow as pa

from modelyard.datasets.entries import Entry, splits_of_names
from modelyard.datasets.readers import Chunk, Reader
from modelyard.datasets.readers.tables import checked_names
from modelyard.errors import InvalidInput, TooLarge
from modelyard.types.dataset import ColumnKind

LINE_BYTES: Final = 8 * 1024 * 1024
_ROWS = 4096
_BATCH_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class JsonLinesReader:
    """All values as strings, lists and objects as their JSON; a key that a line lacks is missing in its row."""

    entries: Sequence[Entry]
    columns: tuple[str, ...]
    label: str | None = None
    kinds: dict[str, ColumnKind] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def batches(self, names: Collection[str] | None = None) -> Iterator[Chunk]:
        wanted = [name for name in self.columns if names is None or name in names]
        for entry, split in zip(self.entries, splits_of_names(self.entries), strict=True):
            for rows in _batched(entry):
                arrays = [_strings(rows, name) for name in wanted]
                yield Chunk(pa.RecordBatch.from_arrays(arrays, names=wanted), split)


def open_entries(entries: Sequence[Entry]) -> Reader:
    """Files whose lines may have different keys: the columns are all of them, in order of first appearance.

    Raises InvalidInput naming the line that is no object.
    """
    names: dict[str, None] = {}
    for entry in entries:
        for _, row in _rows(entry):
            if row.keys() - names.keys():
                names.update(dict.fromkeys(row))
                checked_names(list(names), entry.name)
    if not names:
        raise InvalidInput(f"file {entries[0].name!r} has no objects with keys", allowed="one object a line")
    odd = [name for name in names if name != name.strip() or not name]
    if odd:
        raise InvalidInput(
            f"file {entries[0].name!r} has a key that cannot be a column's name", came=repr(odd[0])
        )
    return JsonLinesReader(entries, tuple(names))


def _batched(entry: Entry) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    size = 0
    with entry.open() as file:
        for number, line in _lines(file, entry):
            rows.append(_decoded(line, number, entry))
            size += len(line)
            if len(rows) == _ROWS or size > _BATCH_BYTES:
                yield rows
                rows, size = [], 0
    if rows:
        yield rows


def _rows(entry: Entry) -> Iterator[tuple[int, dict[str, Any]]]:
    with entry.open() as file:
        for number, line in _lines(file, entry):
            yield number, _decoded(line, number, entry)


def _lines(file: Any, entry: Entry) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(LINE_BYTES + 1):
        number += 1
        if len(line) > LINE_BYTES:
            raise TooLarge(
                f"line {number} of {entry.name!r}", came="more bytes", allowed=f"at most {LINE_BYTES}"
            )
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip():
            yield number, line


def _decoded(line: bytes, number: int, entry: Entry) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            f"line {number} of {entry.name!r} is not JSON",
            came=str(error),
            allowed="one object a line, in UTF-8",
        ) from error
    if not isinstance(value, dict):
        raise InvalidInput(
            f"line {number} of {entry.name!r} is not an object",
            came=type(value).__name__,
            allowed="one object a line",
        )
    return value


def _strings(rows: list[dict[str, Any]], name: str) -> Any:
    return pa.array([_text(row.get(name)) for row in rows], pa.string())


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    # What is nested, as a conversation's messages, is a text to a table; who knows the column reads it again.
    return msgspec.json.encode(value).decode()
