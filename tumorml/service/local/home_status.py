"""How far a home has come: what the first screen and the first run ask the results store."""

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


def read_standing(settings: Settings) -> Standing:
    """Count batches and champions."""
    with read_session(settings) as session:
        names = list(session.scalars(select(Batch.drop_name)))
        tasks = [champion.task for champion in current_champions(session)]
        return Standing(
            batches=len(names),
            only_synthetic=all(name == SYNTHETIC_DROP for name in names),
            tasks_with_champion=tuple(tasks),
        )


def batch_outcome(settings: Settings, drop_name: str) -> tuple[str, str | None, Mapping[str, int]]:
    """State, reason and files for each outcome of a drop's latest batch.

    The state is ``absent`` where no batch has been made of the drop yet.
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


def run_of(settings: Settings, airflow_run_id: str) -> tuple[str, int] | None:
    """Id and planned epochs of the latest run that an Airflow run asked for."""
    with read_session(settings) as session:
        row = session.execute(
            select(Run.id, Run.epochs)
            .where(Run.trigger == airflow_run_id)
            .order_by(Run.created_at.desc())
            .limit(1)
        ).first()
        return None if row is None else (row.id, row.epochs)


def epochs_after(settings: Settings, run_id: str, epoch: int) -> list[Epoch]:
    """The run's finished epochs later than `epoch`, in order."""
    with read_session(settings) as session:
        rows = session.scalars(
            select(Epoch).where(Epoch.run_id == run_id, Epoch.epoch > epoch).order_by(Epoch.epoch)
        )
        return list(rows)


def verdict_of(settings: Settings, airflow_run_id: str) -> tuple[str, str] | None:
    """Outcome and reason of the verdict on what an Airflow run trained."""
    with read_session(settings) as session:
        row = session.execute(
            select(Verdict.outcome, Verdict.reason)
            .join(Run, Run.id == Verdict.run_id)
            .where(Run.trigger == airflow_run_id)
            .order_by(Verdict.created_at.desc())
            .limit(1)
        ).first()
        return None if row is None else (row.outcome, row.reason)


def object_path(settings: Settings, object_key: str) -> str:
    """Where an object lies: a local path where the store is a folder, else its URL."""
    url = f"{settings.objects_url.rstrip('/')}/{object_key}"
    return str(Path(url.removeprefix("file://"))) if url.startswith("file://") else url
