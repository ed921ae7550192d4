"""Show the verdicts on the model of each prediction, including those made outside evaluations.

Missing prediction sets were JSON null in some rows and SQL null in others. This revision sets all
of them to SQL null.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

PREDICTION_PROVENANCE = """
    create or replace view prediction_provenance as
    select p.created_at, p.id as prediction, p.source, p.scan_id as scan, p.true_label,
           p.label as predicted_label, p.probability,
           m.id as model_version, m.sha256 as model_sha256, m.temperature, m.operating_point,
           r.id as training_run, r.recipe, r.recipe_text, r.seed, r.epochs, r.code_version,
           r.libraries, r.host, r.device, r.training_started_at, r.training_finished_at,
           r.snapshot_id as training_snapshot, s.counts as training_scans,
           r.warm_start_id as went_on_from,
           p.run_id as evaluated_in,
           array(select v.id from verdict v
                  where v.run_id = {judged}
                    and p.model_version_id in (v.challenger_id, v.champion_id, v.anchor_id)
                  order by v.created_at) as verdicts
    from prediction p
    join model_version m on m.id = p.model_version_id
    join run r on r.id = m.run_id
    join snapshot s on s.id = r.snapshot_id
"""


def upgrade() -> None:
    op.execute(PREDICTION_PROVENANCE.format(judged="coalesce(p.run_id, r.id)"))
    op.execute("update prediction set possible_labels = null where possible_labels = 'null'")


def downgrade() -> None:
    op.execute(PREDICTION_PROVENANCE.format(judged="p.run_id"))
