"""Index predictions by caller and time."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Most predictions are from evaluations and have no caller.
    op.create_index(
        "ix_prediction_caller_created_at",
        "prediction",
        ["caller", "created_at"],
        postgresql_where=sa.text("caller is not null"),
    )


def downgrade() -> None:
    op.drop_index("ix_prediction_caller_created_at", "prediction")
