"""Folders of images: a folder for each class, below train/, validation/ and test/ where there are splits; or
images with metadata.csv or metadata.jsonl (`file_name` and columns of its own)."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from modelyard.datasets.detect import refuse_pickle
from modelyard.datasets.entries import HEAD_BYTES, Entry, split_of
from modelyard.datasets.pictures import MAX_BYTES, check_image
from modelyard.datasets.readers import Chunk, Reader
from modelyard.datasets.readers.metadata import read_metadata
from modelyard.errors import InvalidInput
from modelyard.types.dataset import SPLITS, ColumnKind

IMAGE: Final = "image"
LABEL: Final = "label"
_BATCH_BYTES = 16 * 1024 * 1024
_BATCH_ROWS = 4096


@dataclass(frozen=True)
class Picture:
    """One image, its split where a folder says it, and the values of the other columns."""

    entry: Entry
    split: str | None
    values: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class ImageReader:
    """`others` names the columns besides the image."""

    pictures: Sequence[Picture]
    others: tuple[str, ...]
    kinds: dict[str, ColumnKind]
    label: str | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def columns(self) -> tuple[str, ...]:
        return (IMAGE, *self.others)

    def batches(self, names: Collection[str] | None = None) -> Iterator[Chunk]:
        wanted = [name for name in self.columns if names is None or name in names]
        for group in _groups(self.pictures, IMAGE in wanted):
            columns = {
                name: pa.array([picture.values[place] for picture in group], pa.string())
                for place, name in enumerate(self.others)
            }
            if IMAGE in wanted:
                columns[IMAGE] = pa.array([_read(picture.entry) for picture in group], pa.binary())
            batch = pa.RecordBatch.from_arrays([columns[name] for name in wanted], names=wanted)
            yield Chunk(batch, group[0].split)


def open_entries(entries: Sequence[Entry]) -> Reader:
    """Images by folder or by metadata, in order of their names. Raises InvalidInput for folders that say a
    class of some images and not of others."""
    tables = [entry for entry in entries if _last(entry) in ("metadata.csv", "metadata.jsonl")]
    images = [entry for entry in entries if entry not in tables]
    if not images:
        raise InvalidInput("there are no images", came=", ".join(entry.name for entry in entries[:5]))
    if tables:
        return _of_metadata(images, tables)
    return _of_folders(images)


def _of_folders(images: Sequence[Entry]) -> Reader:
    depth = _common_depth(images)
    paths = {image.name: image.name.split("/")[depth:] for image in images}
    splits = {name: split_of(parts[0]) if len(parts) > 1 else None for name, parts in paths.items()}
    if None in splits.values():
        splits = dict.fromkeys(splits)
    classes = {name: "/".join(parts[1 if splits[name] else 0 : -1]) for name, parts in paths.items()}
    unlabelled = [name for name, folder in classes.items() if not folder]
    if unlabelled and len(unlabelled) < len(images):
        raise InvalidInput(
            "some images lie in the folder of a class and others do not",
            came=unlabelled[0],
            allowed="a folder for each class, or all images side by side",
        )
    if unlabelled:
        return ImageReader(
            [Picture(e, splits[e.name]) for e in _in_order(images, splits)], (), {IMAGE: "image"}
        )
    pictures = [Picture(e, splits[e.name], (classes[e.name],)) for e in _in_order(images, splits)]
    return ImageReader(pictures, (LABEL,), {IMAGE: "image", LABEL: "category"}, LABEL)


def _in_order(images: Sequence[Entry], splits: dict[str, str | None]) -> list[Entry]:
    """By split, then by name, so that archives and folders of the same files are the same."""
    return sorted(images, key=lambda e: (SPLITS.index(splits[e.name] or SPLITS[0]), e.name))


def _common_depth(images: Sequence[Entry]) -> int:
    """How many folders all images lie in together and that say nothing: a zip's one top folder.

    A lone folder is a class only where there is nothing above it to tell.
    """
    parts = [image.name.split("/")[:-1] for image in images]
    depth = 0
    while all(len(p) > depth + 1 for p in parts) and len({p[depth] for p in parts}) == 1:
        if split_of(parts[0][depth]) is not None:
            break
        depth += 1
    return depth


def _of_metadata(images: Sequence[Entry], tables: Sequence[Entry]) -> Reader:
    by_name = {image.name: image for image in images}
    pictures: list[Picture] = []
    others: tuple[str, ...] | None = None
    for table in sorted(tables, key=lambda entry: entry.name):
        folder = table.name.rpartition("/")[0]
        split = split_of(folder.rsplit("/", 1)[-1])
        columns, rows = read_metadata(table)
        if IMAGE in columns:
            raise InvalidInput(f"{table.name!r} has a column {IMAGE!r}, the name of the images' own column")
        if others is not None and columns != others:
            raise InvalidInput(f"{table.name!r} has other columns", came=list(columns), allowed=list(others))
        others = columns
        for file_name, values in rows:
            path = f"{folder}/{file_name}" if folder else file_name
            if path not in by_name:
                raise InvalidInput(f"{table.name!r} names an image that is not there", came=file_name)
            pictures.append(Picture(by_name[path], split, values))
    if not all(picture.split for picture in pictures):
        pictures = [Picture(picture.entry, None, picture.values) for picture in pictures]
    left = len(images) - len({picture.entry.name for picture in pictures})
    notes = (f"{left} images are not named in the metadata and were left out.",) if left else ()
    return ImageReader(pictures, others or (), {IMAGE: "image"}, notes=notes)


def _last(entry: Entry) -> str:
    return entry.name.rsplit("/", 1)[-1]


def _groups(pictures: Sequence[Picture], with_bytes: bool) -> Iterator[list[Picture]]:
    """Neighbours of one split, not too many and not too large together."""
    group: list[Picture] = []
    size = 0
    for picture in pictures:
        full = len(group) == _BATCH_ROWS or (with_bytes and size + picture.entry.size > _BATCH_BYTES)
        if group and (full or picture.split != group[0].split):
            yield group
            group, size = [], 0
        group.append(picture)
        size += picture.entry.size
    if group:
        yield group


def _read(entry: Entry) -> bytes:
    data = entry.read(MAX_BYTES)
    refuse_pickle(entry, data[:HEAD_BYTES])
    check_image(data, entry.name)
    return data
