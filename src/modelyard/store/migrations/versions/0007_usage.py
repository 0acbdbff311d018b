"""What keys used, and what they may use in a day; whose key a batch was made with."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("tenant", sa.String, sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("model", sa.String, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False, index=True),
        sa.Column("source", sa.String, primary_key=True, index=True),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("prompt", sa.BigInteger, nullable=False),
        sa.Column("cached", sa.BigInteger, nullable=False),
        sa.Column("completion", sa.BigInteger, nullable=False),
        sa.Column("settled", sa.Boolean, nullable=False),
    )
    with op.batch_alter_table("keys") as table:
        table.add_column(sa.Column("budget", sa.BigInteger, nullable=True))
    with op.batch_alter_table("batches") as table:
        table.add_column(sa.Column("key_id", sa.String, nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("batches") as table:
        table.drop_column("key_id")
    with op.batch_alter_table("keys") as table:
        table.drop_column("budget")
    op.drop_table("usage")
