"""Which file names a package may hold, and what really lies in its folder."""

import os
import stat
from pathlib import Path

from modelyard.errors import Corrupt
from modelyard.types.package import MANIFEST_NAME

MAX_FILES = 10_000
MAX_PATH = 240
MAX_DEPTH = 8
_RULE = "relative names of at most 240 characters, / between folders, no .., no control characters"


def check_name(name: str) -> None:
    """Refuse a listed name that could lead out of the package or that is not one file's plain name.

    Raises:
        Corrupt: with the name.
    """
    parts = name.split("/")
    plain = all(part not in ("", ".", "..") for part in parts) and len(parts) <= MAX_DEPTH
    printable = name.isprintable() and "\\" not in name and not _has_surrogates(name)
    if not plain or not printable or len(name) > MAX_PATH or name == MANIFEST_NAME:
        raise Corrupt.because(name, "has a name that a package may not hold", allowed=_RULE)


def regular_files(folder: Path) -> dict[str, os.stat_result]:
    """Every file below `folder` but model.json, by its name relative to it; nothing is followed.

    Raises:
        Corrupt: for a link, a device or a pipe, a name that may not be, or more than 10,000 files.
    """
    found: dict[str, os.stat_result] = {}
    for path in _walk(folder, folder):
        name = path.relative_to(folder).as_posix()
        if name == MANIFEST_NAME:
            continue
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise Corrupt.because(
                name, "is not a plain file", came=_kind(status.st_mode), allowed="plain files"
            )
        check_name(name)
        found[name] = status
        if len(found) > MAX_FILES:
            raise Corrupt.because(name, "is one too many", allowed=f"at most {MAX_FILES} files")
    return found


def _walk(folder: Path, root: Path) -> list[Path]:
    leaves: list[Path] = []
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                path = Path(entry.path)
                if not entry.is_dir(follow_symlinks=False):
                    leaves.append(path)
                elif len(path.relative_to(root).parts) < MAX_DEPTH:
                    waiting.append(path)
                else:
                    name = path.relative_to(root).as_posix()
                    raise Corrupt.because(name, "lies too deep", allowed=f"{MAX_DEPTH} levels")
        if len(leaves) > MAX_FILES + 1:
            break
    return leaves


def _has_surrogates(name: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in name)


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
