"""Record which scans of a snapshot have masks."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "snapshot_scan",
        sa.Column("masked", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.alter_column("snapshot_scan", "masked", server_default=None)


def downgrade() -> None:
    op.drop_column("snapshot_scan", "masked")
