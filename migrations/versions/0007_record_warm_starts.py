"""Record the champion whose weights a run starts from."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

PREDICTION_PROVENANCE = """
    create view prediction_provenance as
    select p.created_at, p.id as prediction, p.source, p.scan_id as scan, p.true_label,
           p.label as predicted_label, p.probability,
           m.id as model_version, m.sha256 as model_sha256, m.temperature, m.operating_point,
           r.id as training_run, r.recipe, r.recipe_text, r.seed, r.epochs, r.code_version,
           r.libraries, r.host, r.device, r.training_started_at, r.training_finished_at,
           r.snapshot_id as training_snapshot, s.counts as training_scans,{warm_start}
           p.run_id as evaluated_in,
           array(select v.id from verdict v
                  where v.run_id = p.run_id
                    and p.model_version_id in (v.challenger_id, v.champion_id, v.anchor_id)
                  order by v.created_at) as verdicts
    from prediction p
    join model_version m on m.id = p.model_version_id
    join run r on r.id = m.run_id
    join snapshot s on s.id = r.snapshot_id
"""


def upgrade() -> None:
    op.add_column("run", sa.Column("warm_start_id", sa.Text(), sa.ForeignKey("model_version.id")))
    op.add_column("run", sa.Column("weights_sha256", sa.Text()))
    op.execute("drop view prediction_provenance")
    op.execute(PREDICTION_PROVENANCE.format(warm_start=" r.warm_start_id as went_on_from,"))


def downgrade() -> None:
    op.execute("drop view prediction_provenance")
    op.execute(PREDICTION_PROVENANCE.format(warm_start=""))
    op.drop_column("run", "weights_sha256")
    op.drop_column("run", "warm_start_id")
