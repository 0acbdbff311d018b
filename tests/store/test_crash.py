"""A writer that is killed at any of its writes loses nothing that it acknowledged, and leaves nothing half
there."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from modelyard.files import sha256_file
from modelyard.home import Home
from modelyard.store.blobs import BlobStore
from modelyard.store.database import open_database
from modelyard.store.garbage import collect_garbage
from modelyard.store.tables import BlobLink, Upload

pytestmark = pytest.mark.slow  # real processes

WRITER = Path(__file__).with_name("killed_writer.py")
WRITERS = 90  # a writer makes about 80 changes before it ends by itself


def test_kill_9_at_every_write(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    done = subprocess.run([sys.executable, WRITER, home.root, str(WRITERS)], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    acknowledged = set(done.stdout.decode().split())
    counts = [sum(name.startswith(f"{k}-") for name in acknowledged) for k in range(1, WRITERS + 1)]
    assert counts[0] == 0, "the first writer dies before its first write"
    assert counts[-1] == 3, "the last writer is not reached by its signal"
    assert set(counts) == {0, 1, 2, 3}

    database, blobs = open_database(None, home.database), BlobStore(home.blobs, home.temporary)
    with database.read() as session:
        rows = set(session.scalars(select(Upload.id)))
        links = [(link.owner, link.digest) for link in session.scalars(select(BlobLink))]
    assert acknowledged <= rows
    assert {owner for owner, _ in links} == rows, "a row and its links come together"
    assert len(links) == 2 * len(rows)
    for digest, _ in blobs.digests():
        assert sha256_file(blobs.path(digest)) == digest, "a blob's name is never on other bytes"
    assert all(blobs.has(digest) for _, digest in links)

    collect_garbage(database, blobs, home, grace=0)
    assert {d for d, _ in blobs.digests()} == {d for _, d in links}
    assert list(home.temporary.iterdir()) == []
    database.close()
