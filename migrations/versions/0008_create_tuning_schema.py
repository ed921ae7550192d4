"""Create the schema ``tuning`` for recipe searches; Optuna creates its tables."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("create schema tuning")
    op.execute("grant usage, create on schema tuning to tumorml_writer")
    op.execute("grant usage on schema tuning to tumorml_reader")
    # Optuna creates its tables as the writer role, so the writer grants access to them.
    op.execute(
        "alter default privileges for role tumorml_writer in schema tuning "
        "grant select on tables to tumorml_reader"
    )


def downgrade() -> None:
    op.execute("drop schema tuning cascade")
