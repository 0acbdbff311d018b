from modelyard.store.database import Database
from modelyard.store.links import link, stored_bytes, unlink
from modelyard.types.package import FileEntry

A, B = FileEntry(sha256="a" * 64, size=10), FileEntry(sha256="b" * 64, size=5)


def test_storage_counts_each_blob_of_a_tenant_once(database: Database) -> None:
    with database.write() as session:
        link(session, "default", "one", [A, B, A], 1.0)
        link(session, "default", "one", [A], 2.0)
        link(session, "default", "two", [A], 2.0)
        link(session, "other", "three", [A], 2.0)
    with database.read() as session:
        assert stored_bytes(session, "default") == 15
        assert stored_bytes(session, "other") == 10


def test_unlinking_is_of_one_tenant_alone(database: Database) -> None:
    with database.write() as session:
        link(session, "default", "same", [A], 1.0)
        link(session, "other", "same", [A], 1.0)
        unlink(session, "default", "same")
        link(session, "default", "same", [], 1.0)
    with database.write() as session:
        link(session, "default", "same", [A], 1.0)
