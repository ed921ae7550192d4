"""The data of a run: its sides, batches, people, and the ties between groups."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tumorml.datasets.splits import SIDES
from tumorml.results.tables import Batch, BatchFile, GroupTie, Run, Scan, SnapshotScan


@dataclass(frozen=True, slots=True)
class SideOfData:
    """How much of a snapshot lies on one side of the split."""

    scans: int
    groups: int
    masked: int


@dataclass(frozen=True, slots=True)
class BatchOfData:
    """A batch that first brought scans of the snapshot."""

    id: str
    drop_name: str
    claimed_at: datetime
    scans: int


def read_ties(session: Session, run: Run) -> dict[str, int]:
    """Groups that had become one when a run began, by the sides that they stood on."""
    rows = session.execute(
        select(GroupTie.kept_side, GroupTie.merged_side, func.count())
        .where(GroupTie.created_at <= run.created_at)
        .group_by(GroupTie.kept_side, GroupTie.merged_side)
    )
    ties: Counter[str] = Counter()
    for kept, merged, count in rows:
        first, second = sorted((kept, merged), key=SIDES.index)
        ties[first if first == second else f"{first} and {second}"] += count
    return dict(ties)


def read_sides(session: Session, snapshot_id: str) -> dict[str, SideOfData]:
    """The sides of a snapshot, empty ones among them."""
    rows = session.execute(
        select(
            SnapshotScan.split,
            func.count(),
            func.count(SnapshotScan.group_id.distinct()),
            func.count().filter(SnapshotScan.masked),
        )
        .where(SnapshotScan.snapshot_id == snapshot_id)
        .group_by(SnapshotScan.split)
    )
    found = {split: SideOfData(*counts) for split, *counts in rows}
    return {side: found.get(side, SideOfData(0, 0, 0)) for side in SIDES}


def read_batches(session: Session, snapshot_id: str) -> list[BatchOfData]:
    """The batches of a snapshot, the newest first."""
    rows = session.execute(
        select(Batch.id, Batch.drop_name, Batch.claimed_at, func.count(SnapshotScan.scan_id))
        .join(Scan, Scan.batch_id == Batch.id)
        .join(SnapshotScan, SnapshotScan.scan_id == Scan.id)
        .where(SnapshotScan.snapshot_id == snapshot_id)
        .group_by(Batch.id)
        .order_by(Batch.claimed_at.desc(), Batch.id)
    )
    return [BatchOfData(*row) for row in rows]


def read_people(session: Session, snapshot_id: str) -> tuple[int, list[str]]:
    """How many scans have a named patient, and the sites that are named."""
    row = session.execute(
        select(
            func.count(SnapshotScan.scan_id.distinct()).filter(BatchFile.patient_id.is_not(None)),
            func.array_agg(BatchFile.site.distinct()).filter(BatchFile.site.is_not(None)),
        )
        .select_from(SnapshotScan)
        .join(BatchFile, BatchFile.scan_id == SnapshotScan.scan_id)
        .where(SnapshotScan.snapshot_id == snapshot_id)
    ).one()
    return row[0], sorted(site for site in row[1] or [] if site)
