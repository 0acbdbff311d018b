"""Zips that strangers made. Members are read where they lie; what has to lie on disk is copied under names of
ours."""

import shutil
import stat
import struct
import zipfile
from pathlib import Path
from typing import Final

from modelyard.datasets.entries import DAMAGED, Entry
from modelyard.errors import InvalidInput, NotAllowedFormat, TooLarge

MAX_ENTRIES: Final = 1_000_000
MAX_DIRECTORY_BYTES: Final = 256 * 1024 * 1024
MAX_UNPACKED: Final = 64 * 1024**3
MAX_RATIO: Final = 200
RATIO_FREE: Final = 64 * 1024 * 1024
"""Unpacked bytes up to which no ratio is asked: small files of zeros are no bomb."""

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def open_archive(path: Path, name: str) -> zipfile.ZipFile:
    """Open a zip and look at all that its directory says, before a byte is unpacked.

    Raises TooLarge for too many entries and for bombs, NotAllowedFormat for names that lead out of the
    archive, collide or are no plain files, InvalidInput for a file that is not a whole zip."""
    try:
        _check_directory(path, name)
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, struct.error, UnicodeDecodeError, ValueError) as error:
        raise InvalidInput(f"{name!r} is not a zip that can be read") from error
    try:
        _check_members(archive, name, path.stat().st_size)
    except BaseException:
        archive.close()
        raise
    return archive


def members(archive: zipfile.ZipFile) -> list[Entry]:
    """The files in it, sorted by name; what file managers put beside them is left out."""
    found = [info for info in archive.infolist() if not info.is_dir() and not is_clutter(info.filename)]
    return [
        Entry(info.filename, info.file_size, archive=archive, member=info.filename)
        for info in sorted(found, key=lambda info: info.filename)
    ]


def is_clutter(name: str) -> bool:
    """Hidden files and folders, and macOS's."""
    return any(part.startswith(".") or part in ("__MACOSX", "Thumbs.db") for part in name.split("/"))


def unpack(entry: Entry, path: Path) -> Entry:
    """Copy a member to a new file at `path`, for readers that need to seek."""
    try:
        with entry.open() as source, path.open("xb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    except DAMAGED as error:
        raise InvalidInput(f"file {entry.name!r} cannot be unpacked: the zip is damaged") from error
    return Entry(entry.name, path.stat().st_size, path=path)


def _check_directory(path: Path, name: str) -> None:
    """The counts in the end record, so that a directory of millions is not even read."""
    entries, size = _end_record(path)
    if entries > MAX_ENTRIES or size > MAX_DIRECTORY_BYTES:
        raise TooLarge(f"zip {name!r}", came=f"{entries:,} entries", allowed=f"at most {MAX_ENTRIES:,}")


def _end_record(path: Path) -> tuple[int, int]:
    """Entries and bytes of the central directory (APPNOTE.TXT 4.3.14 to 4.3.16)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = max(0, size - _END.size - 65_535)
        file.seek(start)
        tail = file.read()
        found = tail.rfind(b"PK\x05\x06")
        if found < 0:
            raise zipfile.BadZipFile("no end record")
        end = _END.unpack_from(tail, found)
        entries, directory = end[4], end[5]
        place = start + found - _END64_LOCATOR.size
        if place < 0:
            return entries, directory
        file.seek(place)
        locator = _END64_LOCATOR.unpack(file.read(_END64_LOCATOR.size))
        if locator[0] != b"PK\x06\x07":
            return entries, directory
        file.seek(locator[2])
        end64 = _END64.unpack(file.read(_END64.size))
        return max(entries if entries != 0xFFFF else 0, end64[7]), end64[8]


def _check_members(archive: zipfile.ZipFile, name: str, size: int) -> None:
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise TooLarge(f"zip {name!r}", came=f"{len(infos):,} entries", allowed=f"at most {MAX_ENTRIES:,}")
    seen: set[str] = set()
    for info in infos:
        _check_member(info)
        if info.filename in seen:
            raise NotAllowedFormat(f"the zip holds {info.filename!r} twice")
        seen.add(info.filename)
    unpacked = sum(info.file_size for info in infos)
    packed = max(1, sum(info.compress_size for info in infos))
    if packed > size:  # members that overlap would hide their ratio
        raise NotAllowedFormat(f"zip {name!r} has members of more bytes than the zip has")
    if unpacked > MAX_UNPACKED or (unpacked > RATIO_FREE and unpacked > MAX_RATIO * packed):
        raise TooLarge(
            f"zip {name!r} unpacks to too much",
            came=f"{unpacked:,} bytes out of {packed:,}",
            allowed=f"at most {MAX_UNPACKED:,} bytes, and at most {MAX_RATIO} times as many as are packed",
        )


def _check_member(info: zipfile.ZipInfo) -> None:
    name = info.filename
    parts = name.split("/")
    unsafe = (
        name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0] or "\0" in info.orig_filename
    )
    if unsafe or not name:
        raise NotAllowedFormat(
            "the zip has a name that leads out of it", came=name, allowed="plain relative names"
        )
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise NotAllowedFormat(f"the zip's {name!r} is a link or a device", allowed="plain files and folders")
    if info.flag_bits & 1:
        raise NotAllowedFormat(f"the zip's {name!r} is encrypted", allowed="zips without a password")
    if info.compress_type not in _METHODS:
        raise NotAllowedFormat(
            f"the zip's {name!r} is packed in a rare way", allowed="stored or deflated members"
        )
