"""What code in a sandbox left behind: files of its making, to be looked at before anything of ours opens, lists or
changes them. A link that it left leads outside once it is followed out here; a pipe keeps its reader waiting.

Only after the sandbox has ended (`watch.Watch.wait` or `end`): until then it could change what was looked at.
"""

import os
import stat
from pathlib import Path
from typing import Final

from modelyard.errors import InvalidInput, NotFound, TooLarge

MOST: Final = 100_000
DEEPEST: Final = 50


def check_plain(folder: Path, *, most: int = MOST, deepest: int = DEEPEST) -> None:
    """That `folder` is a folder and all below it are folders and plain files.

    Raises InvalidInput for anything else, TooLarge for more entries or deeper folders than are allowed.
    """
    if not stat.S_ISDIR(_mode(folder)):
        raise InvalidInput("what was left is no folder", came=folder.name)
    count, waiting = 0, [(folder, 0)]
    while waiting:
        inner, depth = waiting.pop()
        if depth > deepest:
            raise TooLarge("folders lie too deep in one another", allowed=deepest)
        with os.scandir(inner) as entries:
            for entry in entries:
                count += 1
                if count > most:
                    raise TooLarge("too many files were left", allowed=most)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((inner / entry.name, depth + 1))
                elif not entry.is_file(follow_symlinks=False):
                    raise _refused((inner / entry.name).relative_to(folder))


def read_plain(path: Path, limit: int) -> bytes:
    """A plain file of at most `limit` bytes, no link. The folder that it is in must have been checked.

    Raises NotFound, InvalidInput for what is no plain file, TooLarge.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound("a file was not left", came=path.name) from None
    except OSError as error:
        raise InvalidInput("what was left is no plain file", came=path.name) from error
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidInput("what was left is no plain file", came=path.name)
        data = file.read(limit + 1)
    if len(data) > limit:
        raise TooLarge("a file that was left is too large", came=path.name, allowed=f"{limit} bytes")
    return data


def _refused(name: Path) -> InvalidInput:
    return InvalidInput("links, pipes and devices are not taken", came=str(name), allowed="files and folders")


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        raise NotFound("a folder was not left", came=path.name) from None
