"""Add fingerprints, twins, leak reports and label decisions."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LABEL_CONFLICT = """
    with decided as (
        select distinct on (scan_id) scan_id, label from label_decision order by scan_id, id desc
    ), current_label as (
        select scan_id, label from decided
        union all
        select l.scan_id, l.label from scan_label l
        where not exists (select from decided d where d.scan_id = l.scan_id)
    ), place as (
        select distinct on (scan_id) scan_id, batch_id, path from batch_file
        where scan_id is not null order by scan_id, batch_id, path
    )
    select 'one scan, two labels' as conflict, s.scan_id as scan, null as other_scan,
           string_agg(s.label, ', ' order by s.label) as labels, null::float as score,
           (select batch_id || '/' || path from place p where p.scan_id = s.scan_id) as file,
           null as other_file
    from current_label s group by s.scan_id
    having count(distinct s.label) filter (where s.label <> 'tumor') > 1
        or bool_or(s.label = 'tumor') and bool_or(s.label = 'no_tumor')
    union all
    select t.kind || ' twins, two labels', t.scan_id, t.other_id, a.label || ', ' || b.label,
           t.score,
           (select batch_id || '/' || path from place p where p.scan_id = t.scan_id),
           (select batch_id || '/' || path from place p where p.scan_id = t.other_id)
    from twin t
    join current_label a on a.scan_id = t.scan_id
    join current_label b on b.scan_id = t.other_id
    where t.kind in ('reencoded', 'mirrored') and a.label <> b.label
      and ('tumor' not in (a.label, b.label) or 'no_tumor' in (a.label, b.label))
      and not (exists (select from decided d where d.scan_id = t.scan_id)
               and exists (select from decided d where d.scan_id = t.other_id))
"""


def upgrade() -> None:
    op.create_table(
        "fingerprint",
        sa.Column("scan_id", sa.Text(), sa.ForeignKey("scan.id"), primary_key=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("keys", sa.LargeBinary()),
        sa.Column("grids", sa.LargeBinary()),
        sa.Column("thumbnail", sa.LargeBinary()),
        sa.Column("height", sa.BigInteger()),
        sa.Column("compared_at", sa.DateTime(timezone=True)),
    )
    op.create_index(
        "ix_fingerprint_new",
        "fingerprint",
        ["scan_id"],
        postgresql_where=sa.text("compared_at is null"),
    )
    op.create_table(
        "twin",
        sa.Column("scan_id", sa.Text(), sa.ForeignKey("scan.id"), primary_key=True),
        sa.Column("other_id", sa.Text(), sa.ForeignKey("scan.id"), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("orientation", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.CheckConstraint("scan_id < other_id", name="ck_twin_order"),
    )
    op.create_index("ix_twin_other_id", "twin", ["other_id"])
    op.create_table(
        "label_decision",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("scan_id", sa.Text(), sa.ForeignKey("scan.id"), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
    )
    op.create_index("ix_label_decision_scan_id", "label_decision", ["scan_id"])
    op.create_table(
        "leak",
        sa.Column("run_id", sa.Text(), sa.ForeignKey("run.id"), primary_key=True),
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("label", sa.Text(), primary_key=True),
        sa.Column("scans", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.CheckConstraint(
            "kind in ('exact', 'reencoded', 'mirrored', 'similar', 'same_group', 'none')",
            name="ck_leak_kind",
        ),
    )
    for column in ("scan_id", "other_id"):
        op.add_column("group_tie", sa.Column(column, sa.Text(), sa.ForeignKey("scan.id")))
    op.add_column(
        "snapshot",
        sa.Column("given_split", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.drop_constraint("pk_snapshot_scan", "snapshot_scan")
    op.create_primary_key("pk_snapshot_scan", "snapshot_scan", ["snapshot_id", "scan_id", "split"])
    op.execute(f"create view label_conflict as {LABEL_CONFLICT}")


def downgrade() -> None:
    op.execute("drop view label_conflict")
    op.execute(
        "delete from snapshot_scan using snapshot s where s.id = snapshot_id and given_split"
    )
    op.drop_constraint("pk_snapshot_scan", "snapshot_scan")
    op.create_primary_key("pk_snapshot_scan", "snapshot_scan", ["snapshot_id", "scan_id"])
    op.drop_column("snapshot", "given_split")
    for column in ("other_id", "scan_id"):
        op.drop_column("group_tie", column)
    for table in ("leak", "label_decision", "twin", "fingerprint"):
        op.drop_table(table)
