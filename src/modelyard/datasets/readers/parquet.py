"""Parquet, read batch by batch whatever the size of its row groups."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from modelyard.datasets.entries import HEAD_BYTES, Entry, splits_of_names
from modelyard.datasets.pictures import MAX_BYTES, check_image
from modelyard.datasets.readers import Chunk, Reader
from modelyard.datasets.readers.tables import checked_names, demand_same
from modelyard.datasets.recordings import check_sound, is_sound
from modelyard.errors import InvalidInput, TooLarge
from modelyard.types.dataset import ColumnKind

BATCH_BYTES: Final = 16 * 1024 * 1024
_BATCH_ROWS = 65_536
_BUFFER = 1024 * 1024
_LOOKED_AT = 100  # rows, for a value that tells what a column of files holds


@dataclass(frozen=True)
class ParquetReader:
    """`names` are the columns as the files call them, in the order of `columns`."""

    entries: Sequence[Entry]
    columns: tuple[str, ...]
    names: Mapping[str, str]
    kinds: Mapping[str, ColumnKind]
    label: str | None = None
    notes: tuple[str, ...] = ()

    def batches(self, names: Collection[str] | None = None) -> Iterator[Chunk]:
        wanted = [name for name in self.columns if names is None or name in names]
        for entry, split in zip(self.entries, splits_of_names(self.entries), strict=True):
            row = 1
            for batch in _read(entry, [self.names[name] for name in wanted]):
                arrays = [
                    _plain(batch.column(self.names[name]), name, f"row {row}", entry) for name in wanted
                ]
                for name, array in zip(wanted, arrays, strict=True):
                    if pa.types.is_binary(array.type):
                        _check_files(array, name, self.kinds[name], row, entry)
                yield Chunk(pa.RecordBatch.from_arrays(arrays, names=wanted), split)
                row += batch.num_rows


def open_entries(entries: Sequence[Entry]) -> Reader:
    """Files with the same columns, one after the other. Binary columns, and structs with `bytes` as Hugging
    Face writes them, are images, or sounds where the first value is one. Raises InvalidInput for files that
    cannot be read and types that are not taken."""
    schemas = [_schema(entry) for entry in entries]
    first = checked_names(schemas[0].names, entries[0].name)
    for entry, schema in zip(entries, schemas, strict=True):
        demand_same(first, entries[0].name, checked_names(schema.names, entry.name), entry.name)
    kinds: dict[str, ColumnKind] = {
        name: _kind_of_files(entries[0], field.name)
        for name, field in zip(first, schemas[0], strict=True)
        if _holds_files(field.type)
    }
    return ParquetReader(entries, tuple(first), dict(zip(first, schemas[0].names, strict=True)), kinds)


def _schema(entry: Entry) -> Any:
    try:
        with pq.ParquetFile(entry.disk_path) as file:
            return file.schema_arrow
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise _unreadable(entry) from error


def _unreadable(entry: Entry) -> InvalidInput:
    return InvalidInput(f"{entry.name!r} is not a Parquet file that can be read: it is damaged or cut off")


def _read(entry: Entry, names: list[str]) -> Iterator[Any]:
    try:
        # pre_buffer would hold whole row groups, and one row group may be the whole file
        with pq.ParquetFile(entry.disk_path, pre_buffer=False, buffer_size=_BUFFER) as file:
            if file.metadata.num_rows:
                yield from file.iter_batches(_batch_rows(file.metadata), columns=names, use_threads=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise _unreadable(entry) from error


def _batch_rows(metadata: Any) -> int:
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    return max(1, min(_BATCH_ROWS, int(BATCH_BYTES * metadata.num_rows // max(1, size))))


def _kind_of_files(entry: Entry, name: str) -> ColumnKind:
    """By the first value that there is, within the first rows."""
    with pq.ParquetFile(entry.disk_path, pre_buffer=False, buffer_size=_BUFFER) as file:
        batches = file.iter_batches(1, columns=[name], use_threads=False)
        for batch in islice(batches, _LOOKED_AT):
            value = _cast(batch.column(0))[0].as_py()
            if value is not None:
                return "audio" if is_sound(value[:HEAD_BYTES]) else "image"
    return "image"


def _holds_files(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _is_bytes(field.type) for field in kind)
    return _is_bytes(kind)


def _is_bytes(kind: Any) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def _plain(array: Any, name: str, place: str, entry: Entry) -> Any:
    """One of the plain Arrow types of a reader."""
    try:
        return _cast(array)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidInput(
            f"column {name!r} of {entry.name!r} cannot be used ({place} and after)",
            came=str(array.type),
            allowed="numbers, strings, booleans, dates and times, encoded images and sounds",
        ) from error


def _cast(array: Any) -> Any:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _cast(array.dictionary_decode())
    if pa.types.is_struct(kind) and _holds_files(kind):
        return pc.struct_field(array, "bytes").cast(pa.binary())
    if _is_bytes(kind):
        return array.cast(pa.binary())
    if pa.types.is_boolean(kind):
        return array
    if pa.types.is_integer(kind):
        return array.cast(pa.int64())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        doubles = array.cast(pa.float64(), safe=False)
        return pc.if_else(pc.is_nan(doubles), pa.scalar(None, pa.float64()), doubles)
    if pa.types.is_timestamp(kind):
        return array.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.timestamp("us"))
    if pa.types.is_date(kind):
        return array.cast(pa.timestamp("us"))
    if (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    ):
        return array.cast(pa.string())
    raise pa.ArrowNotImplementedError(str(kind))


def _check_files(array: Any, name: str, kind: ColumnKind, first_row: int, entry: Entry) -> None:
    check = check_sound if kind == "audio" else check_image
    for row, value in enumerate(array.to_pylist(), first_row):
        if value is None:
            continue
        if len(value) > MAX_BYTES:
            raise TooLarge(
                f"row {row} of {name!r}", came=f"{len(value)} bytes", allowed=f"at most {MAX_BYTES}"
            )
        check(value, f"{entry.name}: {name}, row {row}")
