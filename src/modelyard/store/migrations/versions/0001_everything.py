"""The first schema: tenants, keys, uploads, blobs, data sets, runs, models, reports, deployments."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    "tenants",
    "keys",
    "uploads",
    "blobs",
    "blob_links",
    "idempotency",
    "datasets",
    "runs",
    "run_inputs",
    "run_metrics",
    "dataset_versions",
    "models",
    "model_versions",
    "aliases",
    "reports",
    "deployments",
    "deployment_versions",
)


def upgrade() -> None:
    op.create_table("tenants", _text("id", primary_key=True), _number("created_at"))
    _create_access()
    _create_blobs()
    _create_runs()
    _create_datasets()
    _create_models()
    _create_deployments()


def downgrade() -> None:
    for name in reversed(_TABLES):
        op.drop_table(name)


def _create_access() -> None:
    _owned(
        "keys",
        _text("id", primary_key=True),
        _text("name"),
        _text("hash", unique=True),
        _text("last4"),
        _json("scopes"),
        _number("created_at"),
        _number("expires_at", nullable=True),
        _number("revoked_at", nullable=True),
    )
    _owned(
        "idempotency",
        _text("key", primary_key=True),
        _text("request_hash"),
        _text("made"),
        _number("created_at"),
        tenant_in_key=True,
    )


def _create_blobs() -> None:
    _owned(
        "uploads",
        _text("id", primary_key=True),
        _text("filename"),
        _text("sha256"),
        sa.Column("size", sa.BigInteger, nullable=False),
        _number("created_at"),
    )
    _owned(
        "blobs",
        _text("digest", primary_key=True, index=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        _number("created_at"),
        tenant_in_key=True,
    )
    _owned(
        "blob_links",
        _text("digest", primary_key=True, index=True),
        _text("owner", primary_key=True, index=True),
        tenant_in_key=True,
    )


def _create_runs() -> None:
    _owned(
        "runs",
        _text("id", primary_key=True),
        _text("kind"),
        _json("params"),
        _json("publish"),
        _text("state", index=True),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        _text("token_hash", nullable=True),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        _number("done", nullable=True),
        _number("total", nullable=True),
        _text("text"),
        _json("summary"),
        _json("outputs"),
        _json("error", nullable=True),
        _number("created_at"),
        _number("started_at", nullable=True),
        _number("ended_at", nullable=True),
    )
    op.create_index("ix_runs_tenant_id", "runs", ["tenant", "id"])
    _owned(
        "run_inputs",
        _part_of("run_id", "runs", primary_key=True),
        _text("name", primary_key=True),
        _text("kind"),
        _text("version_id", index=True),
        _text("reference"),
        _text("digest"),
    )
    _owned(
        "run_metrics",
        _part_of("run_id", "runs", primary_key=True),
        _text("name", primary_key=True),
        sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
        _number("value"),
        _number("time"),
    )


def _create_datasets() -> None:
    _owned(
        "datasets",
        _text("id", primary_key=True),
        _text("name"),
        sa.Column("next_number", sa.Integer, nullable=False),
        _number("created_at"),
        sa.UniqueConstraint("tenant", "name"),
    )
    _owned(
        "dataset_versions",
        _text("id", primary_key=True),
        _part_of("dataset_id", "datasets"),
        sa.Column("number", sa.Integer, nullable=False),
        _text("digest", index=True),
        _json("manifest"),
        _json("beside"),
        _refers("run_id", "runs", nullable=True),
        _number("created_at"),
        sa.UniqueConstraint("dataset_id", "number"),
        sa.UniqueConstraint("dataset_id", "digest"),
    )


def _create_models() -> None:
    _owned(
        "models",
        _text("id", primary_key=True),
        _text("name"),
        _text("task"),
        sa.Column("next_number", sa.Integer, nullable=False),
        _number("created_at"),
        sa.UniqueConstraint("tenant", "name"),
    )
    _owned(
        "model_versions",
        _text("id", primary_key=True),
        _part_of("model_id", "models"),
        sa.Column("number", sa.Integer, nullable=False),
        _text("digest", index=True),
        _json("manifest"),
        _json("summary"),
        _refers("run_id", "runs", nullable=True),
        _text("dataset_digest", nullable=True, index=True),
        _text("parent", nullable=True),
        _number("created_at"),
        sa.UniqueConstraint("model_id", "number"),
        sa.UniqueConstraint("model_id", "digest"),
    )
    _owned(
        "aliases",
        _part_of("model_id", "models", primary_key=True),
        _text("name", primary_key=True),
        _refers("version_id", "model_versions"),
        _number("updated_at"),
    )
    _owned(
        "reports",
        _text("id", primary_key=True),
        _part_of("version_id", "model_versions", index=True),
        _refers("run_id", "runs", nullable=True),
        _json("report"),
        _json("files"),
        _number("created_at"),
    )


def _create_deployments() -> None:
    _owned(
        "deployments",
        _text("id", primary_key=True),
        _text("name"),
        _refers("model_id", "models"),
        sa.Column("replicas", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        _number("created_at"),
        _number("updated_at"),
        sa.UniqueConstraint("tenant", "name"),
    )
    _owned(
        "deployment_versions",
        _part_of("deployment_id", "deployments", primary_key=True),
        _refers("version_id", "model_versions", primary_key=True, index=True),
        _number("weight"),
        _number("live_weight"),
    )


def _owned(name: str, *parts: Any, tenant_in_key: bool = False) -> None:
    """A table whose rows belong to a tenant."""
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


def _number(name: str, *, nullable: bool = False) -> "sa.Column[Any]":
    return sa.Column(name, sa.Double, nullable=nullable)


def _json(name: str, *, nullable: bool = False) -> "sa.Column[Any]":
    return sa.Column(name, sa.JSON(none_as_null=True), nullable=nullable)


def _part_of(name: str, table: str, **options: Any) -> "sa.Column[Any]":
    """A reference to the row that this one is deleted with."""
    return sa.Column(
        name, sa.String, sa.ForeignKey(f"{table}.id", ondelete="CASCADE"), nullable=False, **options
    )


def _refers(name: str, table: str, *, nullable: bool = False, **options: Any) -> "sa.Column[Any]":
    """A reference that keeps the row it names from being deleted."""
    return sa.Column(name, sa.String, sa.ForeignKey(f"{table}.id"), nullable=nullable, **options)
