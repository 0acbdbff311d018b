"""How a deployment serves, and whether its replicas sleep."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("deployments") as table:
        table.add_column(
            sa.Column("serving", sa.JSON(none_as_null=True), nullable=False, server_default="{}")
        )
        table.add_column(sa.Column("asleep", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    with op.batch_alter_table("deployments") as table:
        table.drop_column("asleep")
        table.drop_column("serving")
