"""The champions, with what is said of them wherever they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from tumorml.demo import SYNTHETIC_DROP
from tumorml.reports.facts.heatmap_quality import HeatmapClaim, heatmap_claim
from tumorml.reports.facts.numbers import measured
from tumorml.reports.facts.run_data import read_sides
from tumorml.results.tables import (
    Artifact,
    Batch,
    Champion,
    Evaluation,
    ModelVersion,
    Run,
    Scan,
    SnapshotScan,
)


@dataclass(frozen=True, slots=True)
class ChampionSummary:
    """One champion.

    Attributes:
        champion: Its open row: who let it serve, since when and why.
        run: That trained it.
        synthetic: Whether it has seen nothing but synthetic scans.
        metrics: On the whole test split, by name, as its own run measured them: a value and
            under it its 95 % interval.
        heatmap_claim: What its heatmaps are worth.
        heatmaps: Object keys of at most three heatmaps.
    """

    champion: Champion
    run: Run
    synthetic: bool
    metrics: Mapping[str, str]
    heatmap_claim: HeatmapClaim
    heatmaps: tuple[str, ...]


def champion_summaries(session: Session) -> list[ChampionSummary]:
    """A summary of each champion, by task."""
    rows = session.execute(
        select(Champion, Run)
        .join(ModelVersion, ModelVersion.id == Champion.model_version_id)
        .join(Run, Run.id == ModelVersion.run_id)
        .where(Champion.until.is_(None))
        .order_by(Champion.task)
    )
    return [_summary(session, champion, run) for champion, run in rows]


def _summary(session: Session, champion: Champion, run: Run) -> ChampionSummary:
    numbers = {
        (row.metric, row.slice): row
        for row in session.scalars(
            select(Evaluation).where(
                Evaluation.run_id == run.id,
                Evaluation.model_version_id == champion.model_version_id,
                Evaluation.split == "test",
                Evaluation.slice == "all",
            )
        )
    }
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
        metrics=measured(numbers),
        heatmap_claim=heatmap_claim(numbers, read_sides(session, run.snapshot_id)),
        heatmaps=tuple(heatmaps),
    )
