"""metadata.csv and metadata.jsonl beside images: `file_name` and any other columns."""

import csv
import io
from typing import Any, Final

import msgspec

from modelyard.datasets.entries import Entry
from modelyard.datasets.readers.tables import checked_names
from modelyard.errors import InvalidInput

FILE_NAME: Final = "file_name"
MAX_BYTES: Final = 256 * 1024 * 1024

Rows = list[tuple[str, tuple[str | None, ...]]]


def read_metadata(entry: Entry) -> tuple[tuple[str, ...], Rows]:
    """The other columns' names, and for each row the image's name and their values as strings.

    Raises InvalidInput for a table without `file_name`, names that leave the folder and rows that do not fit.
    """
    try:
        text = entry.read(MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"file {entry.name!r} is not UTF-8", allowed="text in UTF-8") from error
    names, table = _csv(text, entry) if entry.name.endswith(".csv") else _jsonl(text, entry)
    if FILE_NAME not in names:
        raise InvalidInput(
            f"{entry.name!r} has no column {FILE_NAME!r}", came=f"columns {names}", allowed=FILE_NAME
        )
    others = tuple(name for name in names if name != FILE_NAME)
    rows: Rows = []
    for place, values in table:
        file_name = values.get(FILE_NAME) or ""
        if not file_name or file_name.startswith("/") or ".." in file_name.split("/"):
            raise InvalidInput(
                f"line {place} of {entry.name!r} names no image",
                came=repr(file_name),
                allowed="a name below its folder",
            )
        rows.append((file_name, tuple(values.get(name) for name in others)))
    return others, rows


def _csv(text: str, entry: Entry) -> tuple[list[str], list[tuple[int, dict[str, str | None]]]]:
    reader = csv.reader(io.StringIO(text), strict=True)
    table: list[tuple[int, dict[str, str | None]]] = []
    try:
        header = next(reader, None)
        if header is None:
            raise InvalidInput(
                f"file {entry.name!r} is empty", allowed=f"a header with {FILE_NAME!r}, and rows"
            )
        names = checked_names(header, entry.name)
        for row in reader:
            if row and len(row) != len(names):
                raise InvalidInput(
                    f"the rows of {entry.name!r} have not as many fields as its header",
                    came=f"{len(row)} fields in line {reader.line_num}",
                    allowed=f"{len(names)} fields in every line",
                )
            if row:
                table.append((reader.line_num, dict(zip(names, row, strict=True))))
    except csv.Error as error:
        raise InvalidInput(
            f"line {reader.line_num} of {entry.name!r} cannot be read", came=str(error)
        ) from error
    return names, table


def _jsonl(text: str, entry: Entry) -> tuple[list[str], list[tuple[int, dict[str, str | None]]]]:
    names: dict[str, None] = {}
    table: list[tuple[int, dict[str, str | None]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            raise InvalidInput(
                f"line {number} of {entry.name!r} is not an object", came=str(error)
            ) from error
        names.update(dict.fromkeys(row))
        table.append((number, {name: _text(value) for name, value in row.items()}))
    return checked_names(list(names), entry.name), table


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):  # as boxes: a text to a table; who knows the column reads it again
        return msgspec.json.encode(value).decode()
    return value if value is None or isinstance(value, str) else repr(value)
