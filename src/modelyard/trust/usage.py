"""What the processes of a sandbox hold: memory, threads, and what they have written."""

import math
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from modelyard.trust.processes import LINUX, OWN, in_bubblewrap

_DEEPEST: Final = 200  # folders in one another; what lies deeper takes others' tools to remove
_INODE: Final = 512  # bytes that an entry takes besides its content


def memory(pids: list[int], allowed: int) -> int:
    """Bytes that the tree holds. What processes share is counted once, where it comes to that."""
    if not LINUX:
        return _memory_elsewhere(pids)
    temporary = _temporary(pids)
    quick = sum(_kibibytes(f"/proc/{pid}/status", (b"RssAnon", b"RssShmem", b"VmSwap")) for pid in pids)
    if quick + temporary <= allowed:
        return quick + temporary
    names = (b"Pss_Anon", b"Pss_Shmem", b"SwapPss")
    return temporary + sum(_kibibytes(f"/proc/{pid}/smaps_rollup", names) for pid in pids)


def threads(pids: list[int]) -> int:
    total = 0
    for pid in pids if LINUX else ():
        with suppress(OSError):
            total += len(os.listdir(f"/proc/{pid}/task"))
    return total


def _kibibytes(path: str, names: tuple[bytes, ...]) -> int:
    """The sum of these lines, in bytes."""
    with suppress(OSError), open(path, "rb") as f:
        return sum(int(line.split()[1]) for line in f if line.partition(b":")[0] in names) << 10
    return 0


def _temporary(pids: list[int]) -> int:
    """What lies in the sandbox's /tmp and /dev/shm, which are memory."""
    if len(pids) <= OWN or not in_bubblewrap(pids[0]):
        return 0
    used = 0
    for place in ("tmp", "dev/shm"):
        with suppress(OSError):
            found = os.statvfs(f"/proc/{pids[OWN]}/root/{place}")
            used += (found.f_blocks - found.f_bfree) * found.f_frsize
    return used


def _memory_elsewhere(pids: list[int]) -> int:
    import psutil

    used = 0
    for pid in pids:
        with suppress(psutil.Error):
            used += psutil.Process(pid).memory_info().rss
    return used


def written(folders: Iterable[Path]) -> float:
    """Bytes on the disk below these folders; links are not followed. More than any limit where folders lie too deep
    in one another."""
    total, waiting = 0, [(os.fspath(folder), 0) for folder in folders]
    while waiting:
        folder, depth = waiting.pop()
        if depth > _DEEPEST:
            return math.inf
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, depth + 1))
                    total += entry.stat(follow_symlinks=False).st_blocks * 512 + _INODE
    return total


def unlinked(pids: list[int]) -> int:
    """Bytes of open files that have no name any more."""
    sizes: dict[tuple[int, int], int] = {}
    for pid in pids if LINUX else ():
        with suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    found = os.stat(f"/proc/{pid}/fd/{number}")
                    if found.st_nlink == 0:
                        sizes[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sum(sizes.values())
