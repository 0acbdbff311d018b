"""A database of each kind that is there: SQLite always, PostgreSQL where it is installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

import postgres
from modelyard.home import Home
from modelyard.store.blobs import BlobStore
from modelyard.store.database import Database, open_database
from modelyard.store.postgres import postgres_engine
from modelyard.store.tables import Tenant

KINDS = ["sqlite", *([pytest.param("postgresql", marks=pytest.mark.slow)] if postgres.installed() else [])]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres.server() as url:
        yield url


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    found: str = request.getfixturevalue("postgres_url")
    engine = postgres_engine(make_url(found))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return found


@pytest.fixture
def database(url: str, tmp_path: Path) -> Iterator[Database]:
    """Migrated, with the tenants `default` and `other`."""
    opened = open_database(url, tmp_path / "unused.db")
    with opened.write() as session:
        session.add_all([Tenant(id="default", created_at=1.0), Tenant(id="other", created_at=1.0)])
    yield opened
    opened.close()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture
def blobs(home: Home) -> BlobStore:
    return BlobStore(home.blobs, home.temporary)
