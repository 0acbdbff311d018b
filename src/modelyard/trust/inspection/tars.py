"""Tars, gzipped or not (POSIX, pax interchange format; GNU's long names), read member by member.

By hand: tarfile reads a header of whatever length into memory.
"""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

from modelyard.errors import Corrupt, NotAllowedFormat, TooLarge
from modelyard.trust.inspection.archives import (
    HEAD,
    MAX_RATIO,
    PART,
    RATIO_FREE,
    Member,
    Names,
    is_clutter,
    new_file,
)
from modelyard.trust.inspection.contract import MAX_BYTES

_BLOCK: Final = 512
_PAX_BYTES: Final = 64 << 10


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
        file = new_file(out / member.name)
    try:
        while left > 0:
            part = stream.read(min(PART, left))
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
