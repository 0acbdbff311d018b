"""Which format a file is of, by its first bytes and then its name. Pickles are known by their bytes and
refused."""

import gzip
import io
import pickletools
import warnings
import zlib
from typing import Final

from modelyard.datasets import recordings
from modelyard.datasets.entries import Entry
from modelyard.datasets.pictures import SUFFIXES, is_image
from modelyard.errors import InvalidInput, NotAllowedFormat

ALLOWED: Final = (
    "CSV, Parquet, JSON lines, folders of images or of sound files, zips of these, "
    "idx (.gz or not), npz without pickled objects"
)
PICKLE_SUFFIXES: Final = (
    ".pkl",
    ".pickle",
    ".joblib",
    ".pt",
    ".pth",
    ".ckpt",
    ".bin",
    ".h5",
    ".hdf5",
    ".keras",
)

_PICKLE_STARTS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
_TEXT_PICKLE_LIMIT = 65_536
_MANY_OPCODES = 100
_OTHERS = {
    b"\x93NUMPY": "npy",
    b"\x89HDF": "HDF5",
    b"%PDF": "PDF",
    b"Rar!": "RAR",
    b"7z\xbc\xaf": "7z",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"SQLite format 3": "SQLite",
    b"ARROW1": "Arrow IPC",
    b"GGUF": "GGUF",
}


def detect(entry: Entry) -> str:
    """One of options.FORMATS, or "zip". An image's or a sound file's name is enough: whether it is one is
    looked at when it is read.

    Raises NotAllowedFormat for pickles of any name and for formats that are not read, InvalidInput for an
    empty file."""
    suffix = _suffix(entry.name)
    if suffix in PICKLE_SUFFIXES:
        raise refused(entry.name, f"a {suffix} file, which may hold code")
    if suffix in SUFFIXES and entry.size:
        return "images"
    if suffix in recordings.SUFFIXES and entry.size:
        return "audio"
    if entry.size == 0:
        raise InvalidInput(f"file {entry.name!r} is empty", allowed=ALLOWED)
    head = entry.head()
    refuse_pickle(entry, head)
    found = _by_bytes(entry.name, head)
    return found if found is not None else _text_format(entry.name, suffix, head)


def refuse_pickle(entry: Entry, head: bytes) -> None:
    """Raise NotAllowedFormat for a pickle, told by its opcodes; it is never loaded."""
    if head.startswith(_PICKLE_STARTS) or (not _is_known(head) and _is_text_pickle(entry, head)):
        raise refused(entry.name, "a pickle, which may hold code")


def refused(name: str, came: str) -> NotAllowedFormat:
    return NotAllowedFormat(f"file {name!r} is of a format that is not read", came=came, allowed=ALLOWED)


def _suffix(name: str) -> str:
    last = name.lower().rsplit("/", 1)[-1]
    return "." + last.rsplit(".", 1)[-1] if "." in last else ""


def _is_known(head: bytes) -> bool:
    """Whether the first bytes are those of a binary format that is read."""
    starts = (b"PAR1", b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b")
    return head.startswith(starts) or is_image(head) or recordings.is_sound(head) or _is_idx(head)


def _by_bytes(name: str, head: bytes) -> str | None:
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if is_image(head):
        return "images"
    if recordings.is_sound(head):
        return "audio"
    if head.startswith(b"\x1f\x8b"):
        return _inside_gzip(name, head)
    if _is_idx(head):
        return "idx"
    for start, format_name in _OTHERS.items():
        if head.startswith(start):
            hint = "; put it into an npz" if format_name == "npy" else ""
            raise refused(name, f"{format_name}{hint}")
    return None


def _inside_gzip(name: str, head: bytes) -> str:
    """Of what is gzipped only idx is read."""
    try:
        start = gzip.GzipFile(fileobj=io.BytesIO(head)).read(4)
    except (OSError, EOFError, zlib.error):
        start = b""
    if not _is_idx(start):
        raise refused(name, "gzip of something else than idx; unpack it")
    return "idx"


def _is_idx(head: bytes) -> bool:
    """Two zero bytes, the type (0x08: unsigned byte and so on), the number of dimensions."""
    return len(head) >= 4 and head[:2] == b"\0\0" and head[2] in (8, 9, 11, 12, 13, 14) and 0 < head[3] < 5


def _text_format(name: str, suffix: str, head: bytes) -> str:
    if b"\0" in head:
        utf16 = head.startswith((b"\xff\xfe", b"\xfe\xff"))
        raise refused(name, "text in UTF-16; save it as UTF-8" if utf16 else "binary data of no known format")
    if suffix in (".jsonl", ".ndjson"):
        return "jsonl"
    if suffix in (".csv", ".tsv"):
        return "csv"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"["):
        raise InvalidInput(f"file {name!r} is a JSON array", allowed="JSON lines: one object a line")
    if not start:
        raise InvalidInput(f"file {name!r} holds nothing but blanks", allowed=ALLOWED)
    return "jsonl" if start.startswith(b"{") else "csv"


def _is_text_pickle(entry: Entry, head: bytes) -> bool:
    """Protocols 0 and 1 have no mark at the start: whether the opcodes run through to a STOP at the end; of a
    long file, whether a hundred of them run. Text fails at the first or second."""
    runs = _opcodes(head, entry.size > len(head))
    if not runs or entry.size <= len(head):
        return runs > 0
    with entry.open() as file:
        return _opcodes(file.read(_TEXT_PICKLE_LIMIT), entry.size > _TEXT_PICKLE_LIMIT) > 0


def _opcodes(data: bytes, cut: bool) -> int:
    """How many opcodes `data` is; 0 where it is no pickle. Of data that is cut off the end may be missing."""
    seen, stopped = 0, False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of escapes in what is no pickle at all
        try:
            for opcode, _, place in pickletools.genops(data):
                if seen == 0 and opcode.stack_before:
                    return 0  # it would take from an empty stack
                seen += 1
                stopped = opcode.name == "STOP" and place == len(data) - 1
        except (ValueError, IndexError, UnicodeDecodeError, OverflowError):
            stopped = cut and seen >= _MANY_OPCODES
    return seen if stopped else 0
