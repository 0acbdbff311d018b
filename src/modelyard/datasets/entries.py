"""Files as sources give them: on disk, or members of a zip that is read where it lies."""

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from modelyard.errors import InvalidInput, TooLarge
from modelyard.types.dataset import SPLITS

HEAD_BYTES: Final = 4096
DAMAGED: Final = (zipfile.BadZipFile, zlib.error, EOFError)
"""What reading a member of a damaged zip raises."""

SPLIT_NAMES: Final[dict[str, str]] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "t10k": "test",
}
"""What people call splits -> one of SPLITS. t10k is the test part of the MNIST family."""


@dataclass(frozen=True)
class Entry:
    """One file. `name` is its POSIX path below the source; messages show it and never a path of the
    machine."""

    name: str
    size: int
    path: Path | None = None
    archive: zipfile.ZipFile | None = None
    member: str = ""

    @classmethod
    def of_file(cls, path: Path, name: str | None = None) -> "Entry":
        return cls(name or path.name, path.stat().st_size, path=path)

    def open(self) -> IO[bytes]:
        """The file's bytes. A zip's member cannot give more than the size that its entry states."""
        if self.path is not None:
            return self.path.open("rb")
        assert self.archive is not None
        return self.archive.open(self.member)

    def read(self, limit: int) -> bytes:
        """The whole file. Raises TooLarge past `limit` bytes."""
        if self.size > limit:
            raise TooLarge(f"file {self.name!r}", came=f"{self.size} bytes", allowed=f"at most {limit}")
        return self._read(-1)

    def head(self) -> bytes:
        """The first HEAD_BYTES. Raises InvalidInput where a zip's member is damaged."""
        return self._read(HEAD_BYTES)

    def _read(self, size: int) -> bytes:
        try:
            with self.open() as file:
                return file.read(size)
        except DAMAGED as error:
            raise InvalidInput(f"file {self.name!r} cannot be unpacked: the zip is damaged") from error

    @property
    def disk_path(self) -> Path:
        """Where the file lies; for readers of formats that are taken out of a zip before."""
        assert self.path is not None
        return self.path


def split_of(word: str) -> str | None:
    """The split that a word names, or None."""
    return SPLIT_NAMES.get(word.strip().lower())


def splits_of_names(entries: Sequence[Entry]) -> list[str | None]:
    """The split of each file by the first word of its name, as train.csv and test-00000-of-00002.parquet.

    All None unless every name says one and at least two different ones are said: a lone train.csv is to be
    split."""
    found = [split_of(_first_word(entry.name)) for entry in entries]
    if None in found or len(set(found)) < 2:
        return [None] * len(entries)
    assert set(found) <= set(SPLITS)
    return found


def _first_word(name: str) -> str:
    stem = name.rsplit("/", 1)[-1]
    for mark in "-_.":
        stem = stem.split(mark, 1)[0]
    return stem
