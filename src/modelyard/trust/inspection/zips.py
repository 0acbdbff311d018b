"""Zips (PKWARE's APPNOTE.TXT 4.3): all that the directory says is looked at before a byte is unpacked."""

import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Final

from modelyard.errors import Corrupt, NotAllowedFormat, TooLarge
from modelyard.trust.inspection.archives import HEAD, MAX_RATIO, PART, RATIO_FREE, Names, is_clutter, new_file
from modelyard.trust.inspection.contract import MAX_BYTES, MAX_FILES

DAMAGED: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    NotImplementedError,
    OverflowError,
    OSError,
    IndexError,
    KeyError,
)
"""What a broken zip makes the standard library raise."""
_DIRECTORY_BYTES: Final = 16 << 20
_END = struct.Struct("<4s4H2LH")
_LOCAL = struct.Struct("<4s5H3L2H")


def open_zip(path: Path, name: str) -> zipfile.ZipFile:
    """A zip whose directory was looked at whole. Raises TooLarge for bombs and too many entries,
    NotAllowedFormat for names, links, encryption and members that overlap or say one thing twice, Corrupt for
    no whole zip."""
    try:
        _check_end(path, name)
        archive = zipfile.ZipFile(path)
    except DAMAGED as error:
        raise Corrupt.because(name, f"is not a zip that can be read ({type(error).__name__})") from None
    try:
        _check_zip(archive, name, path)
    except DAMAGED as error:
        archive.close()
        raise Corrupt.because(name, f"is not a zip that can be read ({type(error).__name__})") from None
    except BaseException:
        archive.close()
        raise
    return archive


def zip_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Its files, without clutter."""
    return [i for i in archive.infolist() if not i.is_dir() and not is_clutter(i.filename)]


def read_member(archive: zipfile.ZipFile, member: str, name: str, limit: int) -> bytes:
    """A member, whole. Raises TooLarge, Corrupt."""
    try:
        info = archive.getinfo(member)
        if info.file_size > limit:
            raise TooLarge(
                f"{member!r} in {name!r}", came=f"{info.file_size:,} bytes", allowed=f"{limit:,} bytes"
            )
        with archive.open(info) as file:
            data = file.read(limit + 1)
    except DAMAGED as error:
        raise Corrupt.because(
            name, f"has a member that cannot be read ({type(error).__name__})", came=member
        ) from None
    if len(data) != info.file_size:
        raise Corrupt.because(name, "has a member of another size than it says", came=member)
    return data


def read_head(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> bytes:
    """How a member begins. Raises Corrupt."""
    try:
        with archive.open(info) as file:
            return file.read(HEAD)
    except DAMAGED as error:
        raise Corrupt.because(
            name, f"has a member that cannot be read ({type(error).__name__})", came=info.filename
        ) from None


def unpack_zip(path: Path, name: str, out: Path) -> None:
    """Copy its files below `out`. Raises as `open_zip` does."""
    with open_zip(path, name) as archive:
        for info in zip_members(archive):
            try:
                with archive.open(info) as source:
                    _copy(source, info.file_size, out / info.filename)
            except DAMAGED as error:
                raise Corrupt.because(
                    name, f"has a member that cannot be unpacked ({type(error).__name__})", came=info.filename
                ) from None


def _check_end(path: Path, name: str) -> None:
    """The counts in the end record, so that a directory of millions is not even read."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = max(0, size - _END.size - 65_535)
        file.seek(start)
        tail = file.read()
        found = tail.rfind(b"PK\x05\x06")
        if found < 0:
            raise zipfile.BadZipFile("no end record")
        end = _END.unpack_from(tail, found)
        entries, directory, place = end[4], end[5], start + found - 20
        if place >= 0 and tail[found - 20 : found - 16] == b"PK\x06\x07":
            file.seek(struct.unpack("<Q", tail[found - 12 : found - 4])[0])
            end64 = struct.unpack("<4sQ2H2L4Q", file.read(56))
            entries, directory = max(entries if entries != 0xFFFF else 0, end64[7]), end64[8]
    if entries > MAX_FILES * 2 or directory > _DIRECTORY_BYTES:
        raise TooLarge(f"zip {name!r}", came=f"{entries:,} entries", allowed=f"at most {MAX_FILES:,} files")


def _check_zip(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    names = Names(name)
    for info in archive.infolist():
        _check_member(info, name)
        names.add(info.filename, folder=info.is_dir())
    unpacked = sum(info.file_size for info in archive.infolist())
    packed = max(1, sum(info.compress_size for info in archive.infolist()))
    if unpacked > MAX_BYTES or (unpacked > RATIO_FREE and unpacked > MAX_RATIO * packed):
        raise TooLarge(
            f"zip {name!r} unpacks to too much",
            came=f"{unpacked:,} bytes out of {packed:,}",
            allowed=f"at most {MAX_BYTES:,} bytes, and at most {MAX_RATIO} times as many as are packed",
        )
    _check_places(archive, name, path)


def _check_member(info: zipfile.ZipInfo, name: str) -> None:
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise NotAllowedFormat(
            f"{info.filename!r} in {name!r} is a link or a device", allowed="plain files and folders"
        )
    if "\0" in info.orig_filename:
        raise NotAllowedFormat(f"{name!r} has a name that is not allowed", came=ascii(info.orig_filename))
    if info.flag_bits & 1:
        raise NotAllowedFormat(
            f"{info.filename!r} in {name!r} is encrypted", allowed="zips without a password"
        )
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotAllowedFormat(
            f"{info.filename!r} in {name!r} is packed in a rare way", allowed="stored or deflated"
        )


def _check_places(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    """Members lie one after the other from the first byte on, under the names that the directory has: another zip
    reader than ours must find the same files."""
    end = 0
    with path.open("rb") as file:
        for info in sorted(archive.infolist(), key=lambda i: i.header_offset):
            file.seek(info.header_offset)
            head = _LOCAL.unpack(file.read(_LOCAL.size))
            local = file.read(head[9])
            known = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437", "replace")
            if head[0] != b"PK\x03\x04" or local != known or info.header_offset < end:
                raise NotAllowedFormat(
                    f"{name!r} has members that overlap or have two names", came=info.filename
                )
            if end == 0 and info.header_offset != 0:
                raise NotAllowedFormat(f"{name!r} has something before its first member")
            end = info.header_offset + _LOCAL.size + head[9] + head[10] + info.compress_size
    if end > archive.start_dir:
        raise NotAllowedFormat(f"{name!r} has members that reach into its directory")


def _copy(source: IO[bytes], size: int, target: Path) -> None:
    """Exactly `size` bytes. Raises EOFError where it is another number."""
    with new_file(target) as file:
        left = size
        while left > 0 and (part := source.read(min(PART, left))):
            file.write(part)
            left -= len(part)
        if left or source.read(1):
            raise EOFError
