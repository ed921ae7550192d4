"""Record the request for each manual change of champion, so that no request runs twice."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("champion", sa.Column("request", sa.Text(), nullable=True))
    op.create_unique_constraint("uq_champion_request", "champion", ["request"])


def downgrade() -> None:
    op.drop_column("champion", "request")
