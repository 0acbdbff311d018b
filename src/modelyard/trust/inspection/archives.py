"""Zips and tars that strangers made: everything that they say is looked at before a byte is unpacked, and what is
unpacked lies below the folder that was named.

Sources: PKWARE's APPNOTE.TXT 4.3 (zip), POSIX pax interchange format (tar).
"""

import gzip
import os
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

from modelyard.errors import Corrupt, NotAllowedFormat, TooLarge
from modelyard.trust.inspection.contract import MAX_BYTES, MAX_FILES

MAX_RATIO: Final = 200
RATIO_FREE: Final = 64 << 20
"""Unpacked bytes up to which no ratio is asked: small files of zeros are no bomb."""
DAMAGED: Final = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, NotImplementedError,
                  OverflowError,
                  OSError, IndexError, KeyError)  # fmt: skip
"""What a broken zip makes the standard library raise."""
HEAD: Final = 4096
"""Bytes of a member that are looked at before it is unpacked."""
_DIRECTORY_BYTES: Final = 16 << 20
_LONGEST_NAME: Final = 260
_DEEPEST: Final = 16
_PART: Final = 1 << 20
_BLOCK: Final = 512
_PAX_BYTES: Final = 64 << 10
_END = struct.Struct("<4s4H2LH")
_LOCAL = struct.Struct("<4s5H3L2H")


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file in an archive. `head` is how it begins."""

    name: str
    size: int
    head: bytes = b""


class Names:
    """Every name of an archive, each once: also where letters' case or their composition (NFC) is all that differs.
    Raises NotAllowedFormat, and TooLarge past 10,000 files."""

    def __init__(self, archive: str) -> None:
        self._archive = archive
        self._files: dict[str, str] = {}
        self._folders: set[str] = set()

    def add(self, name: str, *, folder: bool = False) -> None:
        check_name(name.rstrip("/") if folder else name, self._archive)
        key = _key(name.rstrip("/"))
        parents = {"/".join(key.split("/")[:n]) for n in range(1, key.count("/") + 1)}
        if (key in self._files) or (not folder and key in self._folders) or parents & self._files.keys():
            raise NotAllowedFormat(f"{self._archive!r} holds names that collide", came=name)
        self._folders |= parents | ({key} if folder else set())
        if not folder:
            self._files[key] = name
        if len(self._files) + len(self._folders) > 2 * MAX_FILES or len(self._files) > MAX_FILES:
            raise TooLarge(f"{self._archive!r} holds too many files", allowed=MAX_FILES)


def check_name(name: str, archive: str) -> None:
    """Raises NotAllowedFormat for a name that leads out of the archive or is not plain."""
    parts = name.split("/")
    plain = all(part not in ("", ".", "..") and not part.endswith(" ") for part in parts)
    printable = name.isprintable() and not any(c in name for c in "\\\0") and ":" not in parts[0]
    short = len(name) <= _LONGEST_NAME and len(parts) <= _DEEPEST
    encodable = not any("\ud800" <= c <= "\udfff" for c in name)
    if not (name and plain and printable and short and encodable):
        raise NotAllowedFormat(
            f"{archive!r} has a name that is not allowed", came=ascii(name), allowed="plain relative names"
        )


def is_clutter(name: str) -> bool:
    """What file managers and version control put beside files."""
    return any(p in ("__MACOSX", "Thumbs.db", ".DS_Store", ".git", ".cache") or p.startswith("._")
               for p in name.split("/"))  # fmt: skip


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


def tar_members(path: Path, name: str, out: Path | None = None) -> Iterator[Member]:
    """Walk a tar, or a gzip of one, and copy its files below `out` where that is given.

    Raises NotAllowedFormat for links, devices, sparse files and names, TooLarge for bombs, Corrupt for no whole
    tar.
    """
    names, total = Names(name), 0
    try:
        with path.open("rb") as raw:
            stream = gzip.GzipFile(fileobj=raw) if raw.read(2) == b"\x1f\x8b" else raw
            raw.seek(0)
            counted = _Counted(stream, path.stat().st_size if stream is not raw else None, name)
            for member, folder in _tar_headers(counted, name):
                names.add(member.name, folder=folder)
                total += member.size
                if total > MAX_BYTES:
                    raise TooLarge(f"{name!r} unpacks to too much", allowed=f"{MAX_BYTES:,} bytes")
                keep = out if not folder and not is_clutter(member.name) else None
                head = _copy_tar(counted, member, keep, name)
                if not folder and not is_clutter(member.name):
                    yield replace(member, head=head)
    except (zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise Corrupt.because(name, f"is not a tar that can be read ({type(error).__name__})") from None


def is_tar(path: Path) -> bool:
    """Whether a file begins as a tar does, gzipped or not."""
    try:
        with path.open("rb") as raw:
            head = raw.read(_BLOCK)
            if head[:2] == b"\x1f\x8b":
                raw.seek(0)
                head = gzip.GzipFile(fileobj=raw).read(_BLOCK)
    except (zlib.error, EOFError, OSError):
        return False
    return len(head) == _BLOCK and _checksum_fits(head)


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


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
    target.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with os.fdopen(fd, "wb") as file:
        left = size
        while left > 0 and (part := source.read(min(_PART, left))):
            file.write(part)
            left -= len(part)
        if left or source.read(1):
            raise EOFError


class _Counted:
    """A stream that ends a bomb: what comes out may be at most 200 times what lies there."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, packed: int | None, name: str) -> None:
        self._stream, self._packed, self._name, self._came = stream, packed, name, 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._came += len(data)
        if self._packed is not None and self._came > max(RATIO_FREE, MAX_RATIO * self._packed):
            raise TooLarge(f"{self._name!r} unpacks to more than {MAX_RATIO} times its size")
        return data


def _copy_tar(stream: _Counted, member: Member, out: Path | None, name: str) -> bytes:
    """How it begins."""
    left, head, file = member.size, b"", None
    if out is not None:
        target = out / member.name
        target.parent.mkdir(parents=True, exist_ok=True)
        file = os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "wb")
    try:
        while left > 0:
            part = stream.read(min(_PART, left))
            if not part:
                raise Corrupt.because(name, "ends in the middle of a file", came=member.name)
            if file:
                file.write(part)
            head = head or part[:HEAD]
            left -= len(part)
    finally:
        if file:
            file.close()
    stream.read(-member.size % _BLOCK)
    return head


def _tar_headers(stream: _Counted, name: str) -> Iterator[tuple[Member, bool]]:
    """The stream must be read past each member before the next is asked for. Long names come in records before."""
    said: dict[str, str] = {}
    while True:
        block = stream.read(_BLOCK)
        if not block.strip(b"\0"):
            return
        if len(block) < _BLOCK or not _checksum_fits(block):
            raise Corrupt.because(name, "is not a tar that can be read")
        kind, size = block[156:157], _tar_number(block[124:136], name)
        if kind in b"xgL" and kind:
            said |= _record(stream, kind, size, name)
            continue
        yield _member(block, size, said, name), kind == b"5"
        said = {}


def _member(block: bytes, size: int, said: dict[str, str], name: str) -> Member:
    kind = block[156:157]
    if kind not in (b"0", b"\0", b"5", b"7"):
        raise NotAllowedFormat(
            f"{name!r} holds a link, a device or another special file", allowed="plain files"
        )
    text = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345:346] != b"\0":
        text = f"{_text(block[345:500])}/{text}"
    folder = kind == b"5" or text.endswith("/")
    text = said.get("path", text)
    text = text.removeprefix("./") or "."
    size = 0 if folder else int(said.get("size", size))
    if text in (".", "./"):
        text = "root-folder" if folder else text
    return Member(name=text.rstrip("/") if folder else text, size=size)


def _record(stream: _Counted, kind: bytes, size: int, name: str) -> dict[str, str]:
    """A pax header, or GNU's long name."""
    if size > _PAX_BYTES:
        raise TooLarge(f"a header in {name!r}", came=f"{size:,} bytes", allowed=f"{_PAX_BYTES:,} bytes")
    data = stream.read(size)
    stream.read(-size % _BLOCK)
    if kind == b"L":
        return {"path": _text(data)}
    found = dict(_pax(data, name)) if kind == b"x" else {}
    if any(key.startswith("GNU.sparse") for key in found):
        raise NotAllowedFormat(f"{name!r} holds a sparse file", allowed="plain files")
    return {key: found[key] for key in ("path", "size") if key in found}


def _pax(data: bytes, name: str) -> Iterator[tuple[str, str]]:
    """Records are "LENGTH KEY=VALUE\\n"."""
    while data.strip(b"\0"):
        length, _, _ = data.partition(b" ")
        if not length.isdigit() or not 0 < len(length) < 8 or not len(length) < int(length) <= len(data):
            raise Corrupt.because(name, "has a header that cannot be read")
        record, data = data[len(length) + 1 : int(length) - 1], data[int(length) :]
        key, _, value = record.partition(b"=")
        if key == b"size" and not (value.isdigit() and len(value) < 18):
            raise Corrupt.because(name, "has a header that cannot be read")
        yield key.decode("utf-8", "replace"), value.decode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _tar_number(field: bytes, name: str) -> int:
    """Octal, or base 256 where its first bit is set."""
    if field[0] & 0x80:
        return int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
    text = field.strip(b" \0")
    if text and not all(c in b"01234567" for c in text):
        raise Corrupt.because(name, "has a header that cannot be read")
    return int(text or b"0", 8)


def _checksum_fits(block: bytes) -> bool:
    text = block[148:156].strip(b" \0")
    if not text or not all(c in b"01234567" for c in text):
        return False
    return int(text, 8) == sum(block[:148]) + 8 * 32 + sum(block[156:])
