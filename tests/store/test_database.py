import threading
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DatabaseError

from modelyard.errors import Conflict, InvalidInput
from modelyard.store.database import Database, open_database
from modelyard.store.tables import Key, Tenant, Upload


def upload(name: str, tenant: str = "default") -> Upload:
    return Upload(id=name, tenant=tenant, filename="a.csv", sha256="0" * 64, size=2**40, created_at=1.5)


def count(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(Upload)) or 0


def test_a_row_is_read_as_it_was_written(database: Database) -> None:
    key = Key(
        id="k", tenant="default", name="é", hash="h", last4="abcd", scopes=["admin"], created_at=1e9 + 0.25
    )
    with database.write() as session:
        session.add_all([upload("one"), key])
    with database.read() as session:
        row, read = session.get_one(Upload, "one"), session.get_one(Key, "k")
    assert (row.size, row.created_at) == (2**40, 1.5)
    assert (read.name, read.scopes, read.expires_at, read.created_at) == ("é", ["admin"], None, 1e9 + 0.25)


def test_an_exception_leaves_nothing_behind(database: Database) -> None:
    def fail_late() -> None:
        with database.write() as session:
            session.add(upload("one"))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_late()
    assert count(database) == 0


def test_a_row_needs_its_tenant(database: Database) -> None:
    with pytest.raises(DatabaseError), database.write() as session:
        session.add(upload("one", tenant="nobody"))
    assert count(database) == 0


def test_writers_that_read_first_lose_nothing(database: Database) -> None:
    def bump() -> None:
        for _ in range(10):
            with database.write() as session:
                tenant = session.get_one(Tenant, "default")
                tenant.created_at += 1

    threads = [threading.Thread(target=bump) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.get_one(Tenant, "default").created_at == 41.0


def test_readers_go_on_while_a_writer_works(database: Database) -> None:
    with database.write() as session:
        session.add(upload("one"))
        session.flush()
        assert count(database) == 0
    assert count(database) == 1


def test_sqlite_is_set_up_to_keep_what_it_acknowledged(tmp_path: Path) -> None:
    database = open_database(None, tmp_path / "a.db")
    with database.read() as session:
        found = [session.scalar(text(f"PRAGMA {p}")) for p in ("journal_mode", "synchronous", "foreign_keys")]
    database.close()
    assert found == ["delete", 2, 1]


def test_another_kind_of_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="allowed: sqlite"):
        open_database("mysql://localhost/db", tmp_path / "a.db")
    with pytest.raises(InvalidInput, match="cannot be read"):
        open_database("nothing", tmp_path / "a.db")


def test_the_schema_of_a_newer_version_is_refused(url: str, tmp_path: Path) -> None:
    database = open_database(url, tmp_path / "a.db")
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(Conflict, match="newer Modelyard"):
        open_database(url, tmp_path / "a.db")
