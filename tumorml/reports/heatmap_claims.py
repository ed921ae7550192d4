"""What the heatmaps of a model version are worth: said wherever one of them is shown."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from tumorml.reports.run import localised
from tumorml.reports.run.data import read_sides
from tumorml.reports.run.localised import HeatmapClaim
from tumorml.results.session import reading
from tumorml.results.tables import Evaluation, ModelVersion, Run
from tumorml.settings import Settings


def heatmap_claim(settings: Settings, model_version_id: str) -> HeatmapClaim | None:
    """What the heatmaps of a model version are worth, whether it serves or not.

    It stays the same once the run of the model version has been explained.

    Returns:
        None where there is no such model version.
    """
    with reading(settings) as session:
        return read_heatmap_claim(session, model_version_id)


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
    return localised.heatmap_claim(numbers, read_sides(session, run.snapshot_id))
