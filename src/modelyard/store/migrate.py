"""Bringing a database to the newest schema with alembic, without a file of its own beside the package."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from modelyard.errors import Conflict


def migrate(connection: Connection) -> None:
    """Run what is missing on `connection`, in its transaction. Raises Conflict where the schema is newer
    than us."""
    try:
        command.upgrade(alembic_config(connection), "head")
    except CommandError as error:
        raise Conflict(
            "the database was written by a newer Modelyard; install that version", came=error
        ) from None


def alembic_config(connection: Connection) -> Config:
    """A configuration that holds the connection; `migrations/env.py` reads it."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
