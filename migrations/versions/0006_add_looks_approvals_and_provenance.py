"""Add numbered looks, approvals, and views that trace predictions to their data."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COLUMNS: dict[str, list[sa.Column[object]]] = {
    "batch_file": [sa.Column("attributes", JSONB())],
    "model_version": [
        sa.Column("description_sha256", sa.Text()),
        sa.Column("preprocessing", sa.Text()),
        sa.Column("temperature", sa.Float()),
        sa.Column("operating_point", sa.Float()),
    ],
    "run": [
        sa.Column("champion_id", sa.Text(), sa.ForeignKey("model_version.id")),
        sa.Column("anchor_id", sa.Text(), sa.ForeignKey("model_version.id")),
    ],
    "verdict_rule": [
        sa.Column("confidence", sa.Float()),
        sa.Column("p_value", sa.Float()),
    ],
    "verdict": [
        sa.Column("anchor_id", sa.Text(), sa.ForeignKey("model_version.id")),
        sa.Column("test_set_id", sa.Text(), sa.ForeignKey("test_set.id")),
        sa.Column("look", sa.BigInteger()),
        sa.Column("look_alpha", sa.Float()),
        sa.Column("approval", sa.Text()),
        sa.Column("approval_reason", sa.Text()),
        sa.Column("approval_by", sa.Text()),
        sa.Column("approval_why", sa.Text()),
        sa.Column("approval_at", sa.DateTime(timezone=True)),
    ],
}

VIEWS = {
    # Each prediction with its model, run and training data, and with the verdicts based on it.
    "prediction_provenance": """
        select p.created_at, p.id as prediction, p.source, p.scan_id as scan, p.true_label,
               p.label as predicted_label, p.probability,
               m.id as model_version, m.sha256 as model_sha256, m.temperature, m.operating_point,
               r.id as training_run, r.recipe, r.recipe_text, r.seed, r.epochs, r.code_version,
               r.libraries, r.host, r.device, r.training_started_at, r.training_finished_at,
               r.snapshot_id as training_snapshot, s.counts as training_scans,
               p.run_id as evaluated_in,
               array(select v.id from verdict v
                      where v.run_id = p.run_id
                        and p.model_version_id in (v.challenger_id, v.champion_id, v.anchor_id)
                      order by v.created_at) as verdicts
        from prediction p
        join model_version m on m.id = p.model_version_id
        join run r on r.id = m.run_id
        join snapshot s on s.id = r.snapshot_id
    """,
    # Each policy with the period in which it applied; a changed file is a new row.
    "policy_history": """
        select policy_sha256, min(created_at) as first_verdict_at,
               max(created_at) as last_verdict_at, count(*) as verdicts,
               count(*) filter (where outcome = 'promoted') as promoted,
               min(policy_text) as policy_text
        from verdict group by policy_sha256
    """,
    # The scans of a run, with the dropped files that contained them.
    "run_data": """
        select r.id as run, r.snapshot_id as snapshot, s.scan_id as scan, s.split, s.label,
               s.group_id, f.batch_id as batch, b.drop_name, f.path as file, f.sha256 as file_sha256,
               f.object_key as original, b.claimed_at
        from run r
        join snapshot_scan s on s.snapshot_id = r.snapshot_id
        join snapshot taken on taken.id = r.snapshot_id
        left join (batch_file f join batch b on b.id = f.batch_id)
               on f.scan_id = s.scan_id and b.claimed_at <= taken.created_at
    """,
}

RUN_SUMMARY = """
    create or replace view run_summary as
    select r.id as run, r.task, r.recipe, r.state, r.reason, r.seed, r.epochs, r.trigger,
           r.snapshot_id as snapshot, r.created_at, r.finished_at,
           extract(epoch from r.training_finished_at - r.training_started_at)
               as training_seconds,
           (select count(*) from epoch e where e.run_id = r.id) as epochs_done,
           m.id as model_version, {verdict} as verdict, v.reason as verdict_reason,
           max(e.value) filter (where e.metric = 'accuracy') as accuracy,
           max(e.value) filter (where e.metric = 'f1_macro') as f1_macro,
           max(e.value) filter (where e.metric = 'roc_auc_macro') as roc_auc_macro
    from run r
    left join model_version m on m.run_id = r.id
    left join verdict v on v.run_id = r.id
    left join evaluation e on e.run_id = r.id and e.model_version_id = m.id
                          and e.split = 'test' and e.slice = 'all'
    group by r.id, m.id, v.id
"""
WAITING = "case when v.approval = 'waiting' then 'waiting' else v.outcome end"


def upgrade() -> None:
    op.create_table(
        "test_set",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("snapshot_id", sa.Text(), sa.ForeignKey("snapshot.id"), nullable=False),
        sa.Column("groups", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.UniqueConstraint("task", "version", name="uq_test_set_task_version"),
    )
    for table, columns in COLUMNS.items():
        for column in columns:
            op.add_column(table, column)
    op.create_check_constraint(
        op.f("ck_verdict_approval"), "verdict", "approval in ('waiting', 'approved', 'rejected')"
    )
    op.create_unique_constraint("uq_verdict_test_set_id_look", "verdict", ["test_set_id", "look"])
    # Existing models have the same preprocessing, no temperature scaling and no threshold.
    op.execute(
        "update model_version set preprocessing = 'fit-to-square, bilinear', temperature = 1.0"
    )
    op.execute("update run set champion_id = v.champion_id from verdict v where v.run_id = run.id")
    op.create_index("ix_snapshot_scan_scan_id", "snapshot_scan", ["scan_id"])
    op.execute(RUN_SUMMARY.format(verdict=WAITING))
    for name, query in VIEWS.items():
        op.execute(f"create view {name} as {query}")


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"drop view {name}")
    op.execute(RUN_SUMMARY.format(verdict="v.outcome"))
    op.drop_index("ix_snapshot_scan_scan_id", "snapshot_scan")
    op.drop_constraint("uq_verdict_test_set_id_look", "verdict")
    op.drop_constraint("ck_verdict_approval", "verdict")
    for table, columns in COLUMNS.items():
        for column in columns:
            op.drop_column(table, column.name)
    op.drop_table("test_set")
