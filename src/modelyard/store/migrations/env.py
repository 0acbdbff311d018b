"""Alembic's entry: it runs on the connection that `store.migrate` hands over."""

from alembic import context

from modelyard.store import imports, openai, registry, tracking, usage, work  # noqa: F401  (their tables join it)
from modelyard.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
)
context.run_migrations()
