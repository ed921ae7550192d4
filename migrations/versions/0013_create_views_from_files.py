"""Create views from the files in ``tumorml/results/views`` instead of in migrations.

``migrations/env.py`` creates them when the tables are at the newest revision.
"""

from alembic import op

from tumorml.results.replace_views import drop_views

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

VIEWS = {
    "batch_summary": "0003",
    "champion_history": "0003",
    "run_summary": "0006",
    "prediction_history": "0010",
    "disagreement": "0003",
    "label_conflict": "0005",
    "prediction_provenance": "0011",
    "policy_history": "0006",
    "run_data": "0006",
}
"""Views of revision 0012, each with the last migration that defined it."""


def upgrade() -> None:
    drop_views(op.get_bind(), VIEWS)


def downgrade() -> None:
    """Create the views of revision 0012 from the text of the migrations that defined them."""
    scripts = op.get_context().script
    if scripts is None:
        raise RuntimeError("The folder of the migrations is unknown.")
    migration = {
        revision: scripts.get_revision(revision).module for revision in sorted(set(VIEWS.values()))
    }
    for name in ("batch_summary", "champion_history", "disagreement"):
        op.execute(f"create view {name} as {migration['0003'].VIEWS[name]}")
    op.execute(migration["0006"].RUN_SUMMARY.format(verdict=migration["0006"].WAITING))
    op.execute(
        migration["0010"].PREDICTION_HISTORY.format(added_columns=migration["0010"].ADDED_COLUMNS)
    )
    op.execute(f"create view label_conflict as {migration['0005'].LABEL_CONFLICT}")
    op.execute(migration["0011"].PREDICTION_PROVENANCE.format(judged="coalesce(p.run_id, r.id)"))
    for name in ("policy_history", "run_data"):
        op.execute(f"create view {name} as {migration['0006'].VIEWS[name]}")
