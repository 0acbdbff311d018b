from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, make_url

from modelyard.store.database import open_database
from modelyard.store.migrate import alembic_config, migrate
from modelyard.store.postgres import postgres_engine
from modelyard.store.tables import Base


def engine(url: str) -> Engine:
    return postgres_engine(make_url(url)) if url.startswith("postgresql:") else create_engine(url)


def test_the_migrations_make_what_the_tables_say(url: str) -> None:
    found = engine(url)
    with found.begin() as connection:
        migrate(connection)
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    found.dispose()


def test_every_table_has_a_tenant() -> None:
    without = [t.name for t in Base.metadata.tables.values() if "tenant" not in t.columns]
    assert without == ["tenants"]


def test_migrating_twice_changes_nothing(url: str, tmp_path: Path) -> None:
    for _ in range(2):
        open_database(url, tmp_path / "a.db").close()


def test_the_way_back(url: str) -> None:
    found = engine(url)
    with found.begin() as connection:
        migrate(connection)
        command.downgrade(alembic_config(connection), "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
    found.dispose()
