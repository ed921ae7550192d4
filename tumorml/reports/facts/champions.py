"""Summary of each champion for the API, the UI and the Airflow pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from tumorml.demo import SYNTHETIC_DROP
from tumorml.reports.facts.heatmap_claims import HeatmapClaim, heatmap_claim, read_test_numbers
from tumorml.reports.facts.numbers import format_metrics
from tumorml.reports.facts.run_data import read_sides
from tumorml.results.champions import current_champions
from tumorml.results.tables import (
    Artifact,
    Batch,
    Champion,
    ModelVersion,
    Run,
    Scan,
    SnapshotScan,
)


@dataclass(frozen=True, slots=True)
class ChampionSummary:
    """A champion.

    Attributes:
        champion: Its open ``champion`` row, with the time, the person and the reason of the change.
        run: The run that trained it.
        synthetic: It was trained and tested on synthetic scans only.
        metrics: Formatted values by metric name, from its own run on the entire test split. A
            second line holds the 95 % interval.
        heatmap_claim: Statement about how well its heatmaps locate tumors.
        heatmaps: Object keys of at most three heatmaps.
    """

    champion: Champion
    run: Run
    synthetic: bool
    metrics: Mapping[str, str]
    heatmap_claim: HeatmapClaim
    heatmaps: tuple[str, ...]


def champion_summaries(session: Session) -> list[ChampionSummary]:
    """Return a summary of each champion, ordered by task."""
    return [_summarize(session, champion) for champion in current_champions(session)]


def _summarize(session: Session, champion: Champion) -> ChampionSummary:
    model_version = session.get_one(ModelVersion, champion.model_version_id)
    run = session.get_one(Run, model_version.run_id)
    numbers = read_test_numbers(session, run.id, model_version.id)
    heatmaps = session.scalars(
        select(Artifact.object_key)
        .where(Artifact.kind == "heatmap", Artifact.run_id == run.id)
        .order_by(Artifact.object_key)
        .limit(3)
    )
    real_scan = session.scalar(
        select(SnapshotScan.scan_id)
        .join(Scan, Scan.id == SnapshotScan.scan_id)
        .join(Batch, Batch.id == Scan.batch_id)
        .where(SnapshotScan.snapshot_id == run.snapshot_id, Batch.drop_name != SYNTHETIC_DROP)
        .limit(1)
    )
    return ChampionSummary(
        champion=champion,
        run=run,
        synthetic=real_scan is None,
        metrics=format_metrics(numbers),
        heatmap_claim=heatmap_claim(numbers, read_sides(session, run.snapshot_id)),
        heatmaps=tuple(heatmaps),
    )
