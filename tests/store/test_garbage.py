import os
from pathlib import Path

import pytest

from modelyard.home import Home
from modelyard.store.blobs import BlobStore
from modelyard.store.database import Database
from modelyard.store.garbage import Collected, collect_garbage
from modelyard.store.links import link, stored_bytes, unlink
from modelyard.store.registry import Model, ModelVersion

NOTHING = Collected(blobs=0, leftovers=0, folders=0)


def version(digest: str) -> list[object]:
    model = Model(id="m", tenant="default", name="m", task="t", next_number=2, created_at=1.0)
    row = ModelVersion(
        id="v",
        tenant="default",
        model_id="m",
        number=1,
        digest=digest,
        manifest={},
        summary={},
        created_at=1.0,
    )
    return [model, row]


def test_what_a_row_names_stays_and_the_rest_goes(database: Database, blobs: BlobStore, home: Home) -> None:
    kept, lost, orphan = blobs.put_bytes(b"kept"), blobs.put_bytes(b"lost"), blobs.put_bytes(b"orphan")
    with database.write() as session:
        link(session, "default", "one", [kept, lost], 1.0)
        link(session, "other", "two", [kept], 1.0)
    assert collect_garbage(database, blobs, home, grace=0).blobs == 1
    assert not blobs.has(orphan.sha256)
    with database.write() as session:
        unlink(session, "default", "one")
    assert collect_garbage(database, blobs, home, grace=0).blobs == 1
    assert [d for d, _ in blobs.digests()] == [kept.sha256]
    with database.read() as session:
        assert (stored_bytes(session, "default"), stored_bytes(session, "other")) == (0, 4)
    assert collect_garbage(database, blobs, home, grace=0) == NOTHING


def test_what_is_on_its_way_is_spared(database: Database, blobs: BlobStore, home: Home) -> None:
    blobs.put_bytes(b"its row comes next")
    (home.temporary / "blob-1").write_bytes(b"half")
    (home.packages / ("0" * 64)).mkdir()
    assert collect_garbage(database, blobs, home, grace=60) == NOTHING


def test_folders_of_versions_that_are_gone(database: Database, blobs: BlobStore, home: Home) -> None:
    with database.write() as session:
        for row in version("a" * 64):
            session.add(row)
            session.flush()
    for folder in (home.packages / ("a" * 64), home.packages / ("b" * 64)):
        folder.mkdir()
        (folder / "file").write_bytes(b"x")
    (home.temporary / "blob-1").write_bytes(b"half")
    assert collect_garbage(database, blobs, home, grace=0) == Collected(blobs=0, leftovers=1, folders=1)
    assert os.listdir(home.packages) == ["a" * 64]


def test_a_blob_that_gets_its_name_meanwhile(
    database: Database, blobs: BlobStore, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home.temporary / "blob-2").write_bytes(b"half")
    listed = list(home.temporary.iterdir())
    looked = Path.iterdir
    monkeypatch.setattr(
        Path,
        "iterdir",
        lambda folder: iter([folder / "blob-1", *listed]) if folder == home.temporary else looked(folder),
    )
    assert collect_garbage(database, blobs, home, grace=0).leftovers == 1
