"""Uploads that come in parts, and what is written beside a model's version: its card and what is known of where it
comes from."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "upload_sessions",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("tenant", sa.String, sa.ForeignKey("tenants.id"), nullable=False, index=True),
        sa.Column("filename", sa.String, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String, nullable=True),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
    )
    op.create_table(
        "version_documents",
        sa.Column("tenant", sa.String, sa.ForeignKey("tenants.id"), nullable=False, index=True),
        sa.Column(
            "version_id", sa.String, sa.ForeignKey("model_versions.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("card", sa.String, nullable=True),
        sa.Column("history", sa.JSON, nullable=True),
        sa.Column("updated_at", sa.Double, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("version_documents")
    op.drop_table("upload_sessions")
