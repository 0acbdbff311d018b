"""Log files that stay bounded. A process appends to its own for as long as it lives, so the file keeps its name:
its end is kept beside it as NAME.log.1, and the file itself is emptied."""

import asyncio
import logging
import os
import shutil
from pathlib import Path
from typing import BinaryIO, Final

log = logging.getLogger(__name__)

LIMIT: Final = 16 << 20  # bytes of a log, and of what is kept of the one before
_EVERY: Final = 60.0  # seconds


async def keep_bounded(folder: Path) -> None:
    """Look at the logs in `folder` now and then, until it is cancelled."""
    while True:
        bound(folder)
        await asyncio.sleep(_EVERY)


def bound(folder: Path, limit: int = LIMIT) -> None:
    """Empty each log that is larger than `limit` bytes, after its last `limit` bytes were put aside.

    Whoever writes it must append (O_APPEND). A line that is written just between the two is lost. In the thread
    that calls: the launcher, which forks, has no other.
    """
    for path in folder.glob("*.log"):
        try:
            with path.open("r+b") as f:
                if os.fstat(f.fileno()).st_size > limit:
                    _put_aside(f, path.with_name(f"{path.name}.1"), limit)
                    f.truncate(0)
        except OSError as error:
            log.warning("the log %s cannot be kept small: %s", path.name, error.strerror)


def _put_aside(f: BinaryIO, kept: Path, limit: int) -> None:
    f.seek(-limit, os.SEEK_END)
    f.readline()  # of which the beginning is not kept
    descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as target:
        shutil.copyfileobj(f, target)
