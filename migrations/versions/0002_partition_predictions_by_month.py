"""Partition predictions by month."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Rows of a month without a partition go here instead of being refused.
    op.execute("create table prediction_unpartitioned partition of prediction default")
    # The writer role does not own the table, so the function runs as the table's owner.
    op.execute(
        """
        create function ensure_prediction_partition(moment timestamptz) returns text
        language plpgsql security definer set search_path = public, pg_temp as $$
        declare
            first_day date := date_trunc('month', moment at time zone 'utc');
            partition_name text := 'prediction_' || to_char(first_day, 'YYYY_MM');
        begin
            if to_regclass(partition_name) is null then
                perform pg_advisory_xact_lock(hashtextextended('prediction partition', 0));
                execute format(
                    'create table if not exists %I partition of prediction
                     for values from (%L) to (%L)',
                    partition_name,
                    first_day::timestamp at time zone 'utc',
                    (first_day + interval '1 month')::timestamp at time zone 'utc');
            end if;
            return partition_name;
        end $$
        """
    )


def downgrade() -> None:
    op.execute("drop function ensure_prediction_partition(timestamptz)")
    op.execute("drop table prediction_unpartitioned")
