"""Opening the database: the embedded SQLite, or PostgreSQL by its URL; migrated to the newest schema at
start.

Control is the one process that writes, and its writers go one after another, so a transaction that reads
and then writes needs no retry on either database.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from modelyard.errors import InvalidInput
from modelyard.store.migrate import migrate
from modelyard.store.postgres import postgres_engine

_BUSY_SECONDS = 10


class Database:
    """Sessions on one engine. Objects stay readable after their session has ended."""

    def __init__(self, engine: Engine) -> None:
        self._readers = engine
        self._writers = engine.execution_options(modelyard_write=True)
        self._writing = threading.RLock()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that changes nothing."""
        with Session(self._readers, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction: committed at the end of the block, rolled back on an exception."""
        with self._writing, Session(self._writers, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        self._readers.dispose()


def open_database(url: str | None, file: Path) -> Database:
    """Open and migrate. `url` None means SQLite in `file`. Raises InvalidInput for a URL of another kind and
    MissingExtra where the driver is not installed."""
    engine = _engine(_parse(url, file))
    try:
        with engine.execution_options(modelyard_write=True).begin() as connection:
            migrate(connection)
    except BaseException:
        engine.dispose()
        raise
    return Database(engine)


def _parse(url: str | None, file: Path) -> URL:
    if url is None:
        return URL.create("sqlite", database=str(file))
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InvalidInput("the database URL cannot be read", allowed="postgresql://...") from None
    if parsed.get_backend_name() in ("sqlite", "postgresql"):
        return parsed
    raise InvalidInput(
        "the database URL", came=parsed.drivername, allowed=("sqlite:///...", "postgresql://...")
    )


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return postgres_engine(url)
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS}, pool_size=10, max_overflow=40)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late; _begin_sqlite sends it
    for pragma in ("journal_mode=DELETE", "synchronous=FULL", "foreign_keys=ON", "case_sensitive_like=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes its lock at once: taken at the first write it could fail halfway, and no timeout would
    help."""
    write = connection.get_execution_options().get("modelyard_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
