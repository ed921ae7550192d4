"""Record predictions of the API, and their callers.

The API does not ingest scans, so a prediction may refer to a scan without a row in ``scan``, and
the foreign key is dropped. A trigger instead of the key would need a lookup for each of the many
rows of an evaluation. It is not needed, because scans are never deleted.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COLUMNS: tuple[sa.Column[object], ...] = (
    sa.Column("caller", sa.Text()),
    sa.Column("possible_labels", JSONB()),
    sa.Column("confidence", sa.Double()),
    sa.Column("distance", sa.Double()),
    sa.Column("unlike", sa.Boolean()),
)
PREDICTION_HISTORY = """
    create view prediction_history as
    select p.created_at, p.task, p.scan_id as scan, p.true_label, p.label as predicted_label,
           p.probability, p.label = p.true_label as correct, p.probabilities, p.source,
           p.model_version_id as model_version, p.run_id as run, f.path as file,
           f.batch_id as batch, f.patient_id, f.site, p.heatmap_key{added_columns}
    from prediction p
    left join lateral (
        select path, batch_id, patient_id, site from batch_file
        where scan_id = p.scan_id
        order by outcome = 'taken_in' desc, batch_id, path limit 1
    ) f on true
"""
ADDED_COLUMNS = """,
           p.id as prediction, p.caller, p.possible_labels, p.confidence, p.distance, p.unlike"""


def upgrade() -> None:
    op.drop_constraint("fk_prediction_scan_id", "prediction")
    for column in COLUMNS:
        op.add_column("prediction", column)
    op.execute("drop view prediction_history")
    op.execute(PREDICTION_HISTORY.format(added_columns=ADDED_COLUMNS))
    op.create_table(
        "api_key",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("sha256", name="uq_api_key_sha256"),
        sa.CheckConstraint("role in ('reader', 'writer')", name=op.f("ck_api_key_role")),
    )


def downgrade() -> None:
    predictions = op.get_bind().scalar(
        sa.text("select count(*) from prediction where source = 'api'")
    )
    if predictions:
        raise RuntimeError(
            f"The older schema cannot hold {predictions} predictions of the API. Copy them elsewhere and "
            "delete them first."
        )
    op.drop_table("api_key")
    op.execute("drop view prediction_history")
    op.execute(PREDICTION_HISTORY.format(added_columns=""))
    for column in COLUMNS:
        op.drop_column("prediction", column.name)
    op.create_foreign_key("fk_prediction_scan_id", "prediction", "scan", ["scan_id"], ["id"])
