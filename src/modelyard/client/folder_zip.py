"""A folder as one stored zip that is never written: any part of it can be made, so that an upload can go on in the
middle (PKWARE's APPNOTE.TXT 4.3; ZIP64 where it must be)."""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelyard.errors import InvalidInput

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR: Final = struct.Struct("<4sLQL")
_END: Final = struct.Struct("<4s4H2LH")
_UTF8, _STORED, _DATE = 0x800, 0, 0x21  # 1980-01-01: the same folder gives the same zip
_PART: Final = 1 << 20
_FULL: Final = 0xFFFFFFFF
_LARGE: Final = _FULL  # sizes and places from here on stand in ZIP64's fields
_MANY: Final = 0xFFFF


@dataclass(frozen=True, kw_only=True)
class _File:
    name: bytes
    path: Path
    size: int
    place: int  # of its header

    @property
    def head(self) -> int:
        return _LOCAL.size + len(self.name) + (20 if self.size >= _LARGE else 0)


class FolderZip:
    """Regular files below a folder by their relative names; what is hidden (.DS_Store, .git) is left out, and links
    are not followed. Raises InvalidInput for a folder without a file."""

    def __init__(self, folder: Path) -> None:
        self._files: list[_File] = []
        self._sums: dict[bytes, int] = {}
        place = 0
        for path in files_of(folder):
            name = path.relative_to(folder).as_posix().encode()
            file = _File(name=name, path=path, size=path.stat().st_size, place=place)
            self._files.append(file)
            place += file.head + file.size
        if not self._files:
            raise InvalidInput("there is no file in the folder", came=str(folder))
        self._directory = place
        self.size = place + sum(len(self._central(f, 0)) for f in self._files) + len(self._end(0))

    def parts(self, start: int, length: int) -> Iterator[bytes]:
        """Bytes `start` to `start + length`. Raises InvalidInput for a file that changes meanwhile."""
        left = length
        for part in self._from(start):
            if left <= 0:
                return
            yield part[:left]
            left -= len(part)

    def _from(self, start: int) -> Iterator[bytes]:
        for file in self._files:
            data = file.place + file.head
            if start < data:
                yield self._header(file)[max(0, start - file.place) :]
            if start < data + file.size:
                yield from _read(file, max(0, start - data))
        yield self._tail()[max(0, start - self._directory) :]

    def _sum(self, file: _File) -> int:
        if file.name not in self._sums:
            crc = 0
            for part in _read(file, 0):
                crc = zlib.crc32(part, crc)
            self._sums[file.name] = crc
        return self._sums[file.name]

    def _header(self, file: _File) -> bytes:
        large = file.size >= _LARGE
        size = _FULL if large else file.size
        extra = struct.pack("<2H2Q", 1, 16, file.size, file.size) if large else b""
        need, lengths = 45 if large else 20, (len(file.name), len(extra))
        fixed = _LOCAL.pack(
            b"PK\x03\x04", need, _UTF8, _STORED, 0, _DATE, self._sum(file), size, size, *lengths
        )
        return fixed + file.name + extra

    def _central(self, file: _File, crc: int) -> bytes:
        large, far = file.size >= _LARGE, file.place >= _LARGE
        values = [file.size, file.size] * large + [file.place] * far
        extra = struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values) if values else b""
        size = _FULL if large else file.size
        need = 45 if values else 20
        fixed = _CENTRAL.pack(b"PK\x01\x02", need | 3 << 8, need, _UTF8, _STORED, 0, _DATE, crc, size, size,
                              len(file.name), len(extra), 0, 0, 0, 0o100644 << 16,
                              _FULL if far else file.place)  # fmt: skip
        return fixed + file.name + extra

    def _tail(self) -> bytes:
        central = b"".join(self._central(file, self._sum(file)) for file in self._files)
        return central + self._end(len(central))

    def _end(self, size: int) -> bytes:
        """The end records of a directory of `size` bytes. Whether ZIP64's are there does not depend on that."""
        count, place = len(self._files), self._directory
        records = b""
        if place >= _LARGE or count >= _MANY:
            end = place + size
            records = _END64.pack(b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, place)
            records += _LOCATOR.pack(b"PK\x06\x07", 0, end, 1)
        few = min(count, _MANY)
        place = _FULL if records else place
        return records + _END.pack(b"PK\x05\x06", 0, 0, few, few, min(size, _FULL), place, 0)


def _read(file: _File, start: int) -> Iterator[bytes]:
    left = file.size - start
    with file.path.open("rb") as f:
        f.seek(start)
        while left > 0:
            part = f.read(min(_PART, left))
            if not part:
                raise InvalidInput("a file became shorter while it was read", came=str(file.path))
            yield part
            left -= len(part)


def files_of(folder: Path) -> list[Path]:
    """Its regular files, sorted; what is hidden is left out, and links are not followed."""
    return sorted(_files(folder))


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".")]
        for name in names:
            path = Path(root, name)
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path
