"""What the heatmaps of a model version are worth: said wherever one of them is shown."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tumorml.reports.facts import heatmap_quality
from tumorml.reports.facts.heatmap_quality import HeatmapClaim
from tumorml.reports.facts.run_data import read_sides
from tumorml.results.session import read_session
from tumorml.results.tables import Evaluation, ModelVersion, Run
from tumorml.settings import Settings


def heatmap_claim(settings: Settings, model_version_id: str) -> HeatmapClaim | None:
    """What the heatmaps of a model version are worth, whether it serves or not.

    It stays the same while `count_measures` does.

    Returns:
        None where there is no such model version.
    """
    with read_session(settings) as session:
        return read_heatmap_claim(session, model_version_id)


def count_measures(session: Session, model_version_id: str) -> int:
    """How many numbers of a model version its own run has written down so far."""
    counted = (
        select(func.count())
        .select_from(Evaluation)
        .join(ModelVersion, ModelVersion.run_id == Evaluation.run_id)
        .where(ModelVersion.id == model_version_id, Evaluation.model_version_id == model_version_id)
    )
    return session.scalar(counted) or 0


def read_heatmap_claim(session: Session, model_version_id: str) -> HeatmapClaim | None:
    """The same, in a session."""
    run = session.scalar(
        select(Run)
        .join(ModelVersion, ModelVersion.run_id == Run.id)
        .where(ModelVersion.id == model_version_id)
    )
    if run is None:
        return None
    rows = session.scalars(
        select(Evaluation).where(
            Evaluation.run_id == run.id,
            Evaluation.model_version_id == model_version_id,
            Evaluation.split == "test",
            Evaluation.slice == "all",
        )
    )
    numbers = {(row.metric, row.slice): row for row in rows}
    return heatmap_quality.heatmap_claim(numbers, read_sides(session, run.snapshot_id))
