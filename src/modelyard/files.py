"""Files written whole or not at all, and their digests."""

import errno
import hashlib
import os
import secrets
import shutil
import subprocess
from pathlib import Path


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write `data` under a temporary name in the same folder, fsync, rename over `path`, fsync the folder.

    A reader sees the old content or the new, never a part; a crash leaves at most a `.tmp-` file.
    """
    temporary = path.with_name(f".tmp-{secrets.token_hex(6)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(fd, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it, where it is there; links are removed, not followed. However
    deep it is: a script may have made folders in folders until Python's own way of removing them gives up."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        subprocess.run(["rm", "-rf", "--", os.fspath(folder)], check=False)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link where the file system allows, else a copy."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise
        shutil.copyfile(source, target, follow_symlinks=False)


def sha256_bytes(data: bytes) -> str:
    """Hex digest of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex digest of a file, read in bounded memory."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
