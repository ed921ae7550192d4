"""The data of a run: split sides, leaks, batches, manifest fields, and merged groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session, aliased

from tumorml.datasets.grouping.sides import SIDES
from tumorml.labels import LABELS, Task
from tumorml.results.tables import (
    Batch,
    BatchFile,
    GroupTie,
    Leak,
    Run,
    Scan,
    Snapshot,
    SnapshotScan,
)
from tumorml.results.twin_kinds import LEAK_KINDS

_MANIFEST_COLUMNS = {
    "patient": BatchFile.patient_id,
    "study": BatchFile.study_id,
    "site": BatchFile.site,
    "acquisition date": BatchFile.acquired_at,
}
"""Manifest fields that have a column of their own, by display name."""


@dataclass(frozen=True, slots=True)
class SideCounts:
    """Counts on one side of a snapshot's split, or of one label on that side.

    Attributes:
        masked: Scans with a tumor mask.
        labels: Counts by label; empty for the counts of a single label.
    """

    scans: int = 0
    groups: int = 0
    masked: int = 0
    labels: Mapping[str, SideCounts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunData:
    """The snapshot of a run, its split, and the leaks found in it.

    Attributes:
        sides: Counts of each side, including empty sides.
        leaks: Counts of test scans by kind of their closest twin in training, then by label.
        ties: Counts of groups merged before the run began, by the sides of the merged groups.
    """

    run: Run
    snapshot: Snapshot
    sides: Mapping[str, SideCounts]
    leaks: Mapping[str, Mapping[str, int]]
    ties: Mapping[str, int]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the task, in the order of their class indices."""
        return LABELS[Task(self.run.task)]


@dataclass(frozen=True, slots=True)
class SnapshotBatch:
    """A batch, and the number of the snapshot's scans that it contained first."""

    id: str
    drop_name: str
    claimed_at: datetime
    scans: int


def read_run_data(session: Session, run: Run) -> RunData:
    """Read the data of a run; it may be not judged yet."""
    leaks: dict[str, dict[str, int]] = {kind: {} for kind in LEAK_KINDS}
    for leak in session.scalars(select(Leak).where(Leak.run_id == run.id)):
        leaks[leak.kind][leak.label] = leak.scans
    return RunData(
        run=run,
        snapshot=session.get_one(Snapshot, run.snapshot_id),
        sides=read_sides(session, run.snapshot_id),
        leaks=leaks,
        ties=_read_ties(session, run),
    )


def read_sides(session: Session, snapshot_id: str) -> dict[str, SideCounts]:
    """Read the counts of each side of a snapshot, including empty sides."""
    rows = session.execute(
        select(
            SnapshotScan.split,
            SnapshotScan.label,
            func.count(),
            func.count(SnapshotScan.group_id.distinct()),
            func.count().filter(SnapshotScan.masked),
        )
        .where(SnapshotScan.snapshot_id == snapshot_id)
        .group_by(SnapshotScan.split, func.rollup(SnapshotScan.label))
    )
    counted: dict[tuple[str, str | None], SideCounts] = {
        (split, label): SideCounts(scans, groups, masked)
        for split, label, scans, groups, masked in rows
    }
    return {
        side: replace(
            counted.get((side, None), SideCounts()),
            labels={
                label: part for (split, label), part in counted.items() if split == side and label
            },
        )
        for side in SIDES
    }


def read_batches(session: Session, snapshot_id: str) -> list[SnapshotBatch]:
    """Read the batches of a snapshot, the newest first."""
    rows = session.execute(
        select(Batch.id, Batch.drop_name, Batch.claimed_at, func.count(SnapshotScan.scan_id))
        .join(Scan, Scan.batch_id == Batch.id)
        .join(SnapshotScan, SnapshotScan.scan_id == Scan.id)
        .where(SnapshotScan.snapshot_id == snapshot_id)
        .group_by(Batch.id)
        .order_by(Batch.claimed_at.desc(), Batch.id)
    )
    return [SnapshotBatch(*row) for row in rows]


def read_manifest_fields(session: Session, snapshot_id: str) -> dict[str, int]:
    """Count the scans of a snapshot that have each manifest field, the most frequent first."""
    of_snapshot = (
        select(SnapshotScan.scan_id)
        .join(BatchFile, BatchFile.scan_id == SnapshotScan.scan_id)
        .where(SnapshotScan.snapshot_id == snapshot_id)
    )
    row = session.execute(
        of_snapshot.with_only_columns(
            *(
                func.count(SnapshotScan.scan_id.distinct()).filter(column.is_not(None))
                for column in _MANIFEST_COLUMNS.values()
            )
        )
    ).one()
    is_object = func.jsonb_typeof(BatchFile.attributes) == "object"
    pair = (
        func.jsonb_each_text(case((is_object, BatchFile.attributes)))
        .table_valued("key", "value")
        .render_derived()
    )
    other_columns = session.execute(
        of_snapshot.with_only_columns(pair.c.key, func.count(SnapshotScan.scan_id.distinct()))
        .join(pair, pair.c.value != "")
        .group_by(pair.c.key)
    )
    counts = Counter(dict(zip(_MANIFEST_COLUMNS, row, strict=True)))
    counts.update({name: scans for name, scans in other_columns if name not in _MANIFEST_COLUMNS})
    return {name: count for name, count in counts.most_common() if count}


def read_sites(session: Session, snapshot_id: str) -> list[str]:
    """Read the sites that manifests name for scans of a snapshot, sorted."""
    rows = session.scalars(
        select(BatchFile.site)
        .distinct()
        .join(SnapshotScan, BatchFile.scan_id == SnapshotScan.scan_id)
        .where(SnapshotScan.snapshot_id == snapshot_id)
    )
    return sorted(site for site in rows if site)


def count_seen_test_scans(session: Session, snapshot_id: str, training_snapshot_id: str) -> int:
    """Count test scans of a snapshot that another training used, or scans of their groups.

    Args:
        session: On the results store.
        snapshot_id: The snapshot whose test scans are counted.
        training_snapshot_id: The snapshot whose training and validation sides are searched.
    """
    other = aliased(SnapshotScan)
    trained = select(other).where(other.snapshot_id == training_snapshot_id, other.split != "test")
    return session.scalars(
        select(func.count()).where(
            SnapshotScan.snapshot_id == snapshot_id,
            SnapshotScan.split == "test",
            or_(
                SnapshotScan.scan_id.in_(trained.with_only_columns(other.scan_id)),
                SnapshotScan.group_id.in_(trained.with_only_columns(other.group_id)),
            ),
        )
    ).one()


def _read_ties(session: Session, run: Run) -> dict[str, int]:
    """Count the groups merged before a run began, by the sides of the merged groups."""
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
