"""What callers keep through the OpenAI API: files, batches, fine-tuning jobs."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = ("api_files", "batches", "fine_tuning_jobs")


def upgrade() -> None:
    _owned(
        "api_files",
        _text("filename"),
        _text("purpose"),
        _text("sha256"),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("lines", sa.Integer, nullable=True),
        _time("created_at"),
        _time("expires_at", nullable=True, index=True),
    )
    _owned(
        "batches",
        _run("run_id"),
        _text("input_file"),
        _text("endpoint"),
        _json("notes"),
        sa.Column("total", sa.Integer, nullable=False),
        _time("created_at"),
        _time("expires_at"),
        sa.Column("output_seconds", sa.Double, nullable=True),
        _time("cancelling_at", nullable=True),
    )
    _owned(
        "fine_tuning_jobs",
        _text("model"),
        _text("base"),
        _text("name"),
        _text("dataset"),
        _text("training_file"),
        _text("validation_file", nullable=True),
        _json("method"),
        sa.Column("seed", sa.BigInteger, nullable=False),
        _json("notes"),
        _run("prepare_run"),
        _run("train_run", nullable=True),
        _text("result_file", nullable=True),
        _time("cancelled_at", nullable=True),
        _json("error", nullable=True),
        _time("created_at"),
        _time("ended_at", nullable=True),
    )


def downgrade() -> None:
    for name in reversed(_TABLES):
        op.drop_table(name)


def _owned(name: str, *columns: Any) -> None:
    tenant = sa.Column("tenant", sa.String, sa.ForeignKey("tenants.id"), nullable=False, index=True)
    op.create_table(name, sa.Column("id", sa.String, primary_key=True), tenant, *columns)
    op.create_index(f"ix_{name}_tenant_id", name, ["tenant", "id"])


def _text(name: str, *, nullable: bool = False) -> "sa.Column[Any]":
    return sa.Column(name, sa.String, nullable=nullable)


def _time(name: str, *, nullable: bool = False, index: bool = False) -> "sa.Column[Any]":
    return sa.Column(name, sa.Double, nullable=nullable, index=index)


def _json(name: str, *, nullable: bool = False) -> "sa.Column[Any]":
    return sa.Column(name, sa.JSON(none_as_null=True), nullable=nullable)


def _run(name: str, *, nullable: bool = False) -> "sa.Column[Any]":
    return sa.Column(name, sa.String, sa.ForeignKey("runs.id"), nullable=nullable, index=True)
