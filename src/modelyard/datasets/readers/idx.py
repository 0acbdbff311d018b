"""idx, the format of the MNIST family (LeCun, Cortes and Burges 1998, "THE IDX FILE FORMAT"), gzipped or
not."""

import gzip
import struct
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Final, cast

import numpy as np
import pyarrow as pa

from modelyard.datasets.entries import Entry, split_of
from modelyard.datasets.pictures import encode_png
from modelyard.datasets.readers import Chunk, Reader
from modelyard.errors import InvalidInput, TooLarge
from modelyard.tasks.images import MAX_PIXELS
from modelyard.types.dataset import ColumnKind

IMAGES: Final = 0x00000803  # unsigned bytes in three dimensions: images, rows, columns
LABELS: Final = 0x00000801
MAX_BYTES: Final = 16 * 1024**3
_BATCH_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class _Pair:
    images: Entry
    labels: Entry | None
    split: str | None


@dataclass(frozen=True)
class IdxReader:
    """Images as PNG files, and a label where there are files of labels."""

    pairs: list[_Pair]
    class_names: tuple[str, ...] | None
    kinds: dict[str, ColumnKind] = field(default_factory=lambda: {"image": "image", "label": "category"})
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return ("image", "label") if self.pairs[0].labels is not None else ("image",)

    @property
    def label(self) -> str | None:
        return "label" if "label" in self.columns else None

    def batches(self, names: Collection[str] | None = None) -> Iterator[Chunk]:
        wanted = [name for name in self.columns if names is None or name in names]
        for pair in self.pairs:
            for columns in self._read(pair, "image" in wanted):
                batch = pa.RecordBatch.from_arrays([columns[name] for name in wanted], names=wanted)
                yield Chunk(batch, pair.split)

    def _read(self, pair: _Pair, with_images: bool) -> Iterator[dict[str, Any]]:
        labels = None if pair.labels is None else _read_labels(pair.labels, self.class_names)
        row = 0
        for pixels in _read_images(pair.images, None if labels is None else len(labels), with_images):
            size = len(pixels)
            columns = {} if labels is None else {"label": pa.array(labels[row : row + size], pa.string())}
            if with_images:
                columns["image"] = pa.array([encode_png(image) for image in pixels], pa.binary())
            yield columns
            row += size


def open_entries(entries: Sequence[Entry], class_names: tuple[str, ...] | None = None) -> Reader:
    """Pair files of images with their files of labels by name, as train-images-idx3-ubyte and
    train-labels-idx1-ubyte; a word `train`, `test` or `t10k` in the name gives the split.

    Raises InvalidInput for files that have no partner or are no idx of unsigned bytes.
    """
    images, labels = _sorted_by_kind(entries)
    if not images:
        raise InvalidInput("there is no idx file of images", came=", ".join(e.name for e in entries))
    if labels and images.keys() != labels.keys():
        raise InvalidInput(
            "idx files of images and of labels do not pair",
            came=", ".join(e.name for e in entries),
            allowed="names as train-images-idx3-ubyte beside train-labels-idx1-ubyte",
        )
    pairs = [_Pair(images[stem], labels.get(stem), _split(stem)) for stem in images]
    known = [pair.split for pair in pairs if pair.split is not None]
    if len(known) < len(pairs) or len(set(known)) < 2:  # nothing that is told apart
        pairs = [_Pair(pair.images, pair.labels, None) for pair in pairs]
    return IdxReader(sorted(pairs, key=lambda pair: (pair.split != "train", pair.images.name)), class_names)


def _sorted_by_kind(entries: Sequence[Entry]) -> tuple[dict[str, Entry], dict[str, Entry]]:
    kinds: dict[int, dict[str, Entry]] = {IMAGES: {}, LABELS: {}}
    for entry in entries:
        with _open(entry) as file:
            magic = struct.unpack(">I", _exactly(file, 4, entry))[0]
        if magic not in kinds:
            raise InvalidInput(
                f"idx file {entry.name!r} holds neither images nor labels",
                came=f"magic number 0x{magic:08x}",
                allowed="0x00000803 (images of unsigned bytes) or 0x00000801 (labels)",
            )
        stem = _stem(entry.name) if len(entries) > 2 else ""
        if stem in kinds[magic]:
            raise InvalidInput(
                f"two idx files stand for the same: {entry.name!r} and {kinds[magic][stem].name!r}"
            )
        kinds[magic][stem] = entry
    return kinds[IMAGES], kinds[LABELS]


def _stem(name: str) -> str:
    """A name without what tells images from labels, as `train` of train-images-idx3-ubyte.gz."""
    last = name.rsplit("/", 1)[-1].lower()
    for word in ("images", "labels"):
        last = last.split(word, 1)[0]
    return last.strip("-_.")


def _split(stem: str) -> str | None:
    words = stem.replace("_", "-").replace(".", "-").split("-")
    return next((split for split in map(split_of, words) if split is not None), None)


def _open(entry: Entry) -> IO[bytes]:
    gzipped = entry.head()[:2] == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(entry.disk_path)) if gzipped else entry.open()


def _read_labels(entry: Entry, class_names: tuple[str, ...] | None) -> list[str]:
    with _open(entry) as file:
        count = struct.unpack(">II", _exactly(file, 8, entry))[1]
        if count > MAX_BYTES:
            raise _too_large(entry, count)
        values = _exactly(file, count, entry)
        _demand_end(file, entry)
    names = class_names or tuple(str(value) for value in range(256))
    if values and max(values) >= len(names):
        raise InvalidInput(
            f"{entry.name!r} holds a label without a name", came=max(values), allowed=f"0 to {len(names)}"
        )
    return [names[value] for value in values]


def _read_images(entry: Entry, labels: int | None, with_images: bool) -> Iterator[np.ndarray[Any, Any]]:
    """uint8 pixels [some, height, width]; empty ones of that length where only the labels are wanted."""
    with _open(entry) as file:
        _, count, height, width = struct.unpack(">IIII", _exactly(file, 16, entry))
        size = height * width
        if size > MAX_PIXELS or count * size > MAX_BYTES:
            raise _too_large(entry, count * size)
        if size == 0 or (labels is not None and labels != count):
            came = f"{count} images of {height} x {width}" + (
                "" if labels is None else f" and {labels} labels"
            )
            raise InvalidInput(
                f"idx file {entry.name!r} does not fit", came=came, allowed="one label for each image"
            )
        step = max(1, _BATCH_BYTES // size)
        for start in range(0, count, step):
            some = min(step, count - start)
            if with_images:
                data = _exactly(file, some * size, entry)
                yield np.frombuffer(data, np.uint8).reshape(some, height, width)
            else:
                yield np.empty((some, 0, 0), np.uint8)
        if with_images:
            _demand_end(file, entry)


def _exactly(file: IO[bytes], size: int, entry: Entry) -> bytes:
    try:
        data = file.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"idx file {entry.name!r} cannot be unpacked: it is damaged or cut off") from error
    if len(data) < size:
        raise InvalidInput(
            f"idx file {entry.name!r} is cut off", came=f"{len(data)} bytes", allowed=f"{size} more"
        )
    return data


def _demand_end(file: IO[bytes], entry: Entry) -> None:
    try:
        extra = file.read(1)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"idx file {entry.name!r} is damaged at its end") from error
    if extra:
        raise InvalidInput(f"idx file {entry.name!r} holds more bytes than its header says")


def _too_large(entry: Entry, size: int) -> TooLarge:
    return TooLarge(
        f"idx file {entry.name!r}", came=f"{size:,} bytes of values", allowed=f"at most {MAX_BYTES:,}"
    )
