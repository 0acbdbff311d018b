"""What clients track by themselves: experiments, external runs, their metrics, logged models, MLflow's registry."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLES = (
    "experiments",
    "tracked_runs",
    "tracked_notes",
    "metric_points",
    "latest_metrics",
    "run_datasets",
    "run_models",
    "logged_models",
    "logged_files",
    "registered_models",
    "registered_versions",
    "registered_aliases",
)


def upgrade() -> None:
    _create_runs()
    _create_metrics()
    _create_inputs()
    _create_models()
    _create_registry()


def downgrade() -> None:
    for name in reversed(_TABLES):
        op.drop_table(name)


def _create_runs() -> None:
    _owned(
        "experiments",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        _text("name"),
        _text("state"),
        _long("created_ms"),
        _long("updated_ms"),
        sa.UniqueConstraint("tenant", "name"),
        tenant_in_key=True,
    )
    _owned(
        "tracked_runs",
        _part_of("run_id", "runs"),
        sa.Column("experiment", sa.Integer, nullable=False),
        _text("name"),
        _text("user"),
        _text("source"),
        _text("status"),
        _text("state"),
        _long("start_ms"),
        _long("end_ms", nullable=True),
    )
    op.create_index("ix_tracked_runs_tenant_experiment", "tracked_runs", ["tenant", "experiment"])
    _owned(
        "tracked_notes",
        _text("kind", primary_key=True),
        _text("owner", primary_key=True),
        _text("key", primary_key=True),
        _prose("value"),
        tenant_in_key=True,
    )


def _create_metrics() -> None:
    _owned(
        "metric_points",
        _part_of("run_id", "runs"),
        _text("name", primary_key=True),
        _long("step", primary_key=True, autoincrement=False),
        _long("time_ms", primary_key=True, autoincrement=False),
        sa.Column("value", sa.Double, primary_key=True),
        sa.Column("nan", sa.Boolean, primary_key=True),
        _text("model_id", nullable=True, index=True),
        _text("dataset_name", nullable=True),
        _text("dataset_digest", nullable=True),
    )
    _owned(
        "latest_metrics",
        _part_of("run_id", "runs"),
        _text("name", primary_key=True),
        _long("step"),
        _long("time_ms"),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("nan", sa.Boolean, nullable=False),
    )


def _create_inputs() -> None:
    _owned(
        "run_datasets",
        _part_of("run_id", "runs"),
        _text("name", primary_key=True),
        _text("digest", primary_key=True),
        _text("source_type"),
        _prose("source"),
        _prose("schema", nullable=True),
        _prose("profile", nullable=True),
        _text("context", nullable=True),
        sa.Column("tags", sa.JSON(none_as_null=True), nullable=False),
    )
    _owned(
        "run_models",
        _part_of("run_id", "runs"),
        _text("model_id", primary_key=True),
        _text("role", primary_key=True),
        _long("step"),
    )


def _create_models() -> None:
    _owned(
        "logged_models",
        _text("id", primary_key=True),
        sa.Column("experiment", sa.Integer, nullable=False),
        _text("name"),
        sa.Column("run_id", sa.String, sa.ForeignKey("runs.id"), nullable=True),
        _text("model_type"),
        _text("status"),
        _text("status_message"),
        _text("state"),
        _long("created_ms"),
        _long("updated_ms"),
    )
    op.create_index("ix_logged_models_tenant_experiment", "logged_models", ["tenant", "experiment"])
    _owned(
        "logged_files",
        _part_of("model_id", "logged_models"),
        _text("path", primary_key=True),
        _text("sha256"),
        _long("size"),
        sa.Column("created_at", sa.Double, nullable=False),
    )


def _create_registry() -> None:
    _owned(
        "registered_models",
        _text("id", primary_key=True),
        _text("name"),
        _text("model"),
        _prose("description"),
        sa.Column("next_version", sa.Integer, nullable=False),
        _long("created_ms"),
        _long("updated_ms"),
        sa.UniqueConstraint("tenant", "name"),
        sa.UniqueConstraint("tenant", "model"),
    )
    _owned(
        "registered_versions",
        _part_of("registered_id", "registered_models"),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        _prose("source"),
        _prose("location"),
        _text("run_id", nullable=True),
        _text("logged_id", nullable=True),
        _text("run_link"),
        _text("user"),
        _prose("description"),
        _text("stage"),
        _text("status"),
        _prose("status_message"),
        _text("import_run", nullable=True),
        _text("version_id", nullable=True, index=True),
        _long("created_ms"),
        _long("updated_ms"),
    )
    _owned(
        "registered_aliases",
        _part_of("registered_id", "registered_models"),
        _text("alias", primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
    )


def _owned(name: str, *parts: Any, tenant_in_key: bool = False) -> None:
    tenant = sa.Column(
        "tenant",
        sa.String,
        sa.ForeignKey("tenants.id"),
        primary_key=tenant_in_key,
        nullable=False,
        index=not tenant_in_key,
    )
    op.create_table(name, tenant, *parts)


def _text(name: str, *, nullable: bool = False, **options: Any) -> "sa.Column[Any]":
    return sa.Column(name, sa.String, nullable=nullable, **options)


def _prose(name: str, *, nullable: bool = False) -> "sa.Column[Any]":
    return sa.Column(name, sa.Text, nullable=nullable)


def _long(name: str, *, nullable: bool = False, **options: Any) -> "sa.Column[Any]":
    return sa.Column(name, sa.BigInteger, nullable=nullable, **options)


def _part_of(name: str, table: str) -> "sa.Column[Any]":
    """Of the key, and deleted with the row that it names."""
    return sa.Column(name, sa.String, sa.ForeignKey(f"{table}.id", ondelete="CASCADE"), primary_key=True)
