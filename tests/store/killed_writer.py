"""Writers that are killed: `python killed_writer.py HOME N` forks N of them, the k-th of which dies of
SIGKILL before its k-th change of the disk. A line on standard output acknowledges a write."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from modelyard.home import Home
from modelyard.store.blobs import BlobStore
from modelyard.store.database import open_database
from modelyard.store.links import link
from modelyard.store.tables import Tenant, Upload

CHANGES = ("replace", "rename", "fsync", "link", "unlink", "mkdir", "chmod")


def die_before(count: int) -> None:
    """Let the process kill itself instead of making its `count`-th change."""
    left = count

    def step(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(change: Any) -> Any:
        def wrapper(*args: Any, **options: Any) -> Any:
            step()
            return change(*args, **options)

        return wrapper

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))
    event.listen(Engine, "before_cursor_execute", step)
    event.listen(Engine, "commit", step)


def write(root: Path, versions: int, dying: int) -> None:
    home = Home(root)
    home.create()
    database = open_database(None, home.database)
    blobs = BlobStore(home.blobs, home.temporary)
    with database.write() as session:
        if session.get(Tenant, "default") is None:
            session.add(Tenant(id="default", created_at=1.0))
    die_before(dying)
    for i in range(versions):
        name = f"{dying}-{i}"
        source = home.temporary / f"source-{name}"
        source.write_bytes(b"file " + name.encode())
        entries = [blobs.put_bytes(b"bytes " + name.encode()), blobs.put_file(source)]
        with database.write() as session:
            row = Upload(
                id=name, tenant="default", filename=name, sha256=entries[0].sha256, size=1, created_at=1.0
            )
            session.add(row)
            session.flush()
            link(session, "default", name, entries, 1.0)
        os.write(1, name.encode() + b"\n")
    database.close()


if __name__ == "__main__":
    children = int(sys.argv[2])
    for number in range(1, children + 1):
        if (child := os.fork()) == 0:
            write(Path(sys.argv[1]), 3, number)
            os._exit(0)
        os.waitpid(child, 0)
