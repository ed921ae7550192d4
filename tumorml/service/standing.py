"""How far a home has come: what the first screen and the first run ask the results store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from tumorml.results.session import reading
from tumorml.results.tables import (
    Artifact,
    Batch,
    BatchFile,
    Champion,
    Epoch,
    Evaluation,
    ModelVersion,
    Run,
    Scan,
    SnapshotScan,
    Verdict,
)
from tumorml.settings import Settings

SYNTHETIC_DROP = "synthetic-first-drop"


@dataclass(frozen=True)
class Standing:
    """What the results store holds.

    Attributes:
        batches: How many drops were taken in or refused, or are being taken in.
        only_synthetic: Whether every one of them is the synthetic first drop.
        tasks_with_champion: Tasks that a champion serves.
    """

    batches: int
    only_synthetic: bool
    tasks_with_champion: tuple[str, ...]


@dataclass(frozen=True)
class ChampionCard:
    """One champion with what the first screen says of it.

    Attributes:
        task: ``binary`` or ``four_class``.
        model_version_id: Which model version serves.
        recipe: Name of the recipe that trained it.
        synthetic: Whether it has seen nothing but synthetic scans.
        metrics: On the whole test split: name, value, low, high; None where not computed.
        heatmaps: Object keys of at most three heatmaps.
    """

    task: str
    model_version_id: str
    recipe: str
    synthetic: bool
    metrics: tuple[tuple[str, float | None, float | None, float | None], ...]
    heatmaps: tuple[str, ...]


def read_standing(settings: Settings) -> Standing:
    """Count batches and champions."""
    with reading(settings) as session:
        names = list(session.scalars(select(Batch.drop_name)))
        tasks = session.scalars(select(Champion.task).where(Champion.until.is_(None)))
        return Standing(
            batches=len(names),
            only_synthetic=all(name == SYNTHETIC_DROP for name in names),
            tasks_with_champion=tuple(sorted(tasks)),
        )


def batch_outcome(settings: Settings, drop_name: str) -> tuple[str, str | None, Mapping[str, int]]:
    """State, reason and files for each outcome of a drop's latest batch.

    The state is ``absent`` where no batch has been made of the drop yet.
    """
    with reading(settings) as session:
        batch = session.scalar(
            select(Batch)
            .where(Batch.drop_name == drop_name)
            .order_by(Batch.claimed_at.desc())
            .limit(1)
        )
        if batch is None:
            return "absent", None, {}
        counts = session.execute(
            select(BatchFile.outcome, func.count())
            .where(BatchFile.batch_id == batch.id)
            .group_by(BatchFile.outcome)
        )
        return batch.state, batch.reason, dict(counts.tuples().all())


def run_of(settings: Settings, airflow_run_id: str) -> tuple[str, int] | None:
    """Id and planned epochs of the latest run that an Airflow run asked for."""
    with reading(settings) as session:
        row = session.execute(
            select(Run.id, Run.epochs)
            .where(Run.trigger == airflow_run_id)
            .order_by(Run.created_at.desc())
            .limit(1)
        ).first()
        return None if row is None else (row.id, row.epochs)


def epochs_after(settings: Settings, run_id: str, epoch: int) -> list[Epoch]:
    """The run's finished epochs later than `epoch`, in order."""
    with reading(settings) as session:
        rows = session.scalars(
            select(Epoch).where(Epoch.run_id == run_id, Epoch.epoch > epoch).order_by(Epoch.epoch)
        )
        return list(rows)


def verdict_of(settings: Settings, airflow_run_id: str) -> tuple[str, str] | None:
    """Outcome and reason of the verdict on what an Airflow run trained."""
    with reading(settings) as session:
        row = session.execute(
            select(Verdict.outcome, Verdict.reason)
            .join(Run, Run.id == Verdict.run_id)
            .where(Run.trigger == airflow_run_id)
            .order_by(Verdict.created_at.desc())
            .limit(1)
        ).first()
        return None if row is None else (row.outcome, row.reason)


def champion_cards(settings: Settings) -> list[ChampionCard]:
    """A card of each champion."""
    with reading(settings) as session:
        rows = session.execute(
            select(Champion.task, ModelVersion.id, ModelVersion.run_id, Run.recipe, Run.snapshot_id)
            .join(ModelVersion, ModelVersion.id == Champion.model_version_id)
            .join(Run, Run.id == ModelVersion.run_id)
            .where(Champion.until.is_(None))
            .order_by(Champion.task)
        ).all()
        cards = []
        for task, model_version_id, run_id, recipe, snapshot_id in rows:
            metrics = session.execute(
                select(Evaluation.metric, Evaluation.value, Evaluation.low, Evaluation.high)
                .where(
                    Evaluation.run_id == run_id,
                    Evaluation.model_version_id == model_version_id,
                    Evaluation.split == "test",
                    Evaluation.slice == "all",
                )
                .order_by(Evaluation.metric)
            ).all()
            heatmaps = session.scalars(
                select(Artifact.object_key)
                .where(Artifact.kind == "heatmap", Artifact.run_id == run_id)
                .order_by(Artifact.object_key)
                .limit(3)
            )
            real_scan = session.scalar(
                select(SnapshotScan.scan_id)
                .join(Scan, Scan.id == SnapshotScan.scan_id)
                .join(Batch, Batch.id == Scan.batch_id)
                .where(SnapshotScan.snapshot_id == snapshot_id, Batch.drop_name != SYNTHETIC_DROP)
                .limit(1)
            )
            cards.append(
                ChampionCard(
                    task=task,
                    model_version_id=model_version_id,
                    recipe=recipe,
                    synthetic=real_scan is None,
                    metrics=tuple((name, value, low, high) for name, value, low, high in metrics),
                    heatmaps=tuple(heatmaps),
                )
            )
        return cards


def object_path(settings: Settings, object_key: str) -> str:
    """Where an object lies: a local path where the store is a folder, else its URL."""
    url = f"{settings.objects_url.rstrip('/')}/{object_key}"
    return str(Path(url.removeprefix("file://"))) if url.startswith("file://") else url
