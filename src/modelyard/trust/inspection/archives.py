"""Names and limits of archives that strangers made: what is unpacked lies below the folder that was named."""

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from modelyard.errors import NotAllowedFormat, TooLarge
from modelyard.trust.inspection.contract import MAX_FILES

MAX_RATIO: Final = 200
RATIO_FREE: Final = 64 << 20
"""Unpacked bytes up to which no ratio is asked: small files of zeros are no bomb."""
HEAD: Final = 4096
"""Bytes of a member that are looked at before it is unpacked."""
PART: Final = 1 << 20
_LONGEST_NAME: Final = 260
_DEEPEST: Final = 16


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


def new_file(path: Path) -> BinaryIO:
    """A file that was not there, below folders that may be; no link is followed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "wb")


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
