"""Queries about the progress of a home: its batches, runs, epochs, verdicts and champions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from tumorml.demo import SYNTHETIC_DROP
from tumorml.results.champions import current_champions
from tumorml.results.session import read_session
from tumorml.results.tables import Batch, BatchFile, Epoch, Run, Verdict
from tumorml.settings import Settings


@dataclass(frozen=True)
class HomeStatus:
    """Batches and champions of a home.

    Attributes:
        batches: Number of batches in any state.
        only_synthetic: Whether every batch is the synthetic drop; True without batches.
        tasks_with_champion: Tasks that have a champion.
    """

    batches: int
    only_synthetic: bool
    tasks_with_champion: tuple[str, ...]


def read_home_status(settings: Settings) -> HomeStatus:
    """Count batches and list the tasks with a champion."""
    with read_session(settings) as session:
        names = list(session.scalars(select(Batch.drop_name)))
        tasks = [champion.task for champion in current_champions(session)]
        return HomeStatus(
            batches=len(names),
            only_synthetic=all(name == SYNTHETIC_DROP for name in names),
            tasks_with_champion=tuple(tasks),
        )


def latest_batch(settings: Settings, drop_name: str) -> tuple[str, str | None, Mapping[str, int]]:
    """Return state, reason and number of files per outcome of a drop's latest batch.

    The state is ``absent`` if the drop has no batch yet.
    """
    with read_session(settings) as session:
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


def latest_run(settings: Settings, airflow_run_id: str) -> tuple[str, int] | None:
    """Return id and planned epochs of the latest run that an Airflow run triggered."""
    with read_session(settings) as session:
        row = session.execute(
            select(Run.id, Run.epochs)
            .where(Run.trigger == airflow_run_id)
            .order_by(Run.created_at.desc())
            .limit(1)
        ).first()
        return None if row is None else (row.id, row.epochs)


def epochs_after(settings: Settings, run_id: str, epoch: int) -> list[Epoch]:
    """Return the run's finished epochs after number `epoch`, in order."""
    with read_session(settings) as session:
        rows = session.scalars(
            select(Epoch).where(Epoch.run_id == run_id, Epoch.epoch > epoch).order_by(Epoch.epoch)
        )
        return list(rows)


def latest_verdict(settings: Settings, airflow_run_id: str) -> tuple[str, str] | None:
    """Return outcome and reason of the latest verdict on a run that an Airflow run triggered."""
    with read_session(settings) as session:
        row = session.execute(
            select(Verdict.outcome, Verdict.reason)
            .join(Run, Run.id == Verdict.run_id)
            .where(Run.trigger == airflow_run_id)
            .order_by(Verdict.created_at.desc())
            .limit(1)
        ).first()
        return None if row is None else (row.outcome, row.reason)


def object_location(settings: Settings, object_key: str) -> str:
    """Return the local path of an object if the store is a folder, else its URL."""
    url = f"{settings.objects_url.rstrip('/')}/{object_key}"
    return str(Path(url.removeprefix("file://"))) if url.startswith("file://") else url
