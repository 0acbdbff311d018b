"""Folders of files that are one value each: a folder for each class, below train/, validation/ and test/ where
there are splits; or files with metadata.csv or metadata.jsonl (`file_name` and columns of its own)."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from modelyard.datasets.detect import refuse_pickle
from modelyard.datasets.entries import HEAD_BYTES, Entry, split_of
from modelyard.datasets.readers import Chunk, Reader
from modelyard.datasets.readers.metadata import read_metadata
from modelyard.errors import InvalidInput
from modelyard.types.dataset import SPLITS, ColumnKind

LABEL: Final = "label"
_BATCH_BYTES = 16 * 1024 * 1024
_BATCH_ROWS = 4096


@dataclass(frozen=True, kw_only=True)
class Files:
    """What the files are.

    column   the name of their column, and its kind
    said     what messages call them, and one of them
    longest  bytes of a file
    check    data, name -> nothing; raises InvalidInput or TooLarge
    """

    column: str
    kind: ColumnKind
    said: str
    one: str
    longest: int
    check: Callable[[bytes, str], None]


@dataclass(frozen=True)
class Item:
    """One file, its split where a folder says it, and the values of the other columns."""

    entry: Entry
    split: str | None
    values: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class FolderReader:
    """See `readers.Reader`. `others` names the columns besides the files'."""

    files: Files
    items: Sequence[Item]
    others: tuple[str, ...] = ()
    label: str | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.files.column, *self.others)

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        labels: dict[str, ColumnKind] = {} if self.label is None else {self.label: "category"}
        return {self.files.column: self.files.kind, **labels}

    def batches(self, names: Collection[str] | None = None) -> Iterator[Chunk]:
        wanted = [name for name in self.columns if names is None or name in names]
        own = self.files.column
        for group in _groups(self.items, own in wanted):
            columns = {
                name: pa.array([item.values[place] for item in group], pa.string())
                for place, name in enumerate(self.others)
            }
            if own in wanted:
                columns[own] = pa.array([self._read(item.entry) for item in group], pa.binary())
            batch = pa.RecordBatch.from_arrays([columns[name] for name in wanted], names=wanted)
            yield Chunk(batch, group[0].split)

    def _read(self, entry: Entry) -> bytes:
        data = entry.read(self.files.longest)
        refuse_pickle(entry, data[:HEAD_BYTES])
        self.files.check(data, entry.name)
        return data


def open_folder(entries: Sequence[Entry], files: Files) -> Reader:
    """Files by folder or by metadata, in order of their names. Raises InvalidInput for folders that say a
    class of some files and not of others."""
    tables = [entry for entry in entries if _last(entry) in ("metadata.csv", "metadata.jsonl")]
    found = [entry for entry in entries if entry not in tables]
    if not found:
        raise InvalidInput(f"there are no {files.said}", came=", ".join(entry.name for entry in entries[:5]))
    return _of_metadata(found, tables, files) if tables else _of_folders(found, files)


def _of_folders(found: Sequence[Entry], files: Files) -> Reader:
    depth = _common_depth(found)
    paths = {entry.name: entry.name.split("/")[depth:] for entry in found}
    splits = {name: split_of(parts[0]) if len(parts) > 1 else None for name, parts in paths.items()}
    if None in splits.values():
        splits = dict.fromkeys(splits)
    classes = {name: "/".join(parts[1 if splits[name] else 0 : -1]) for name, parts in paths.items()}
    unlabelled = [name for name, folder in classes.items() if not folder]
    if unlabelled and len(unlabelled) < len(found):
        raise InvalidInput(
            f"some {files.said} lie in the folder of a class and others do not",
            came=unlabelled[0],
            allowed=f"a folder for each class, or all {files.said} side by side",
        )
    if unlabelled:
        return FolderReader(files, [Item(e, splits[e.name]) for e in _in_order(found, splits)])
    items = [Item(e, splits[e.name], (classes[e.name],)) for e in _in_order(found, splits)]
    return FolderReader(files, items, (LABEL,), LABEL)


def _in_order(found: Sequence[Entry], splits: dict[str, str | None]) -> list[Entry]:
    """By split, then by name, so that archives and folders of the same files are the same."""
    return sorted(found, key=lambda e: (SPLITS.index(splits[e.name] or SPLITS[0]), e.name))


def _common_depth(found: Sequence[Entry]) -> int:
    """How many folders all files lie in together and that say nothing: a zip's one top folder.

    A lone folder is a class only where there is nothing above it to tell.
    """
    parts = [entry.name.split("/")[:-1] for entry in found]
    depth = 0
    while all(len(p) > depth + 1 for p in parts) and len({p[depth] for p in parts}) == 1:
        if split_of(parts[0][depth]) is not None:
            break
        depth += 1
    return depth


def _of_metadata(found: Sequence[Entry], tables: Sequence[Entry], files: Files) -> Reader:
    by_name = {entry.name: entry for entry in found}
    items: list[Item] = []
    others: tuple[str, ...] | None = None
    for table in sorted(tables, key=lambda entry: entry.name):
        folder = table.name.rpartition("/")[0]
        split = split_of(folder.rsplit("/", 1)[-1])
        columns, rows = read_metadata(table)
        if files.column in columns:
            raise InvalidInput(
                f"{table.name!r} has a column {files.column!r}, the name of the {files.said}' own column"
            )
        if others is not None and columns != others:
            raise InvalidInput(f"{table.name!r} has other columns", came=list(columns), allowed=list(others))
        others = columns
        for file_name, values in rows:
            path = f"{folder}/{file_name}" if folder else file_name
            if path not in by_name:
                raise InvalidInput(f"{table.name!r} names {files.one} that is not there", came=file_name)
            items.append(Item(by_name[path], split, values))
    if not all(item.split for item in items):
        items = [Item(item.entry, None, item.values) for item in items]
    left = len(found) - len({item.entry.name for item in items})
    notes = (f"{left} {files.said} are not named in the metadata and were left out.",) if left else ()
    return FolderReader(files, items, others or (), notes=notes)


def _last(entry: Entry) -> str:
    return entry.name.rsplit("/", 1)[-1]


def _groups(items: Sequence[Item], with_bytes: bool) -> Iterator[list[Item]]:
    """Neighbours of one split, not too many and not too large together."""
    group: list[Item] = []
    size = 0
    for item in items:
        full = len(group) == _BATCH_ROWS or (with_bytes and size + item.entry.size > _BATCH_BYTES)
        if group and (full or item.split != group[0].split):
            yield group
            group, size = [], 0
        group.append(item)
        size += item.entry.size
    if group:
        yield group
