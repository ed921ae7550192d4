"""The data of a run: its sides, leaks, batches, people, and the ties between groups."""

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
from tumorml.results.tables.training import LEAK_KINDS

_COLUMNS = {
    "patient": BatchFile.patient_id,
    "study": BatchFile.study_id,
    "site": BatchFile.site,
    "acquisition date": BatchFile.acquired_at,
}
"""What a manifest can say in columns of their own, by what people call it."""


@dataclass(frozen=True, slots=True)
class SideOfData:
    """How much of a snapshot lies on one side of the split, or has one label there."""

    scans: int = 0
    groups: int = 0
    masked: int = 0
    labels: Mapping[str, SideOfData] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DataOfRun:
    """What a run learnt from and is judged on.

    Attributes:
        run: Its row.
        snapshot: That it saw.
        sides: By name of the side, empty ones among them.
        leaks: Test scans by kind of their closest training scan, then by label.
        ties: Groups that had become one when the run began, by the sides that they stood on.
    """

    run: Run
    snapshot: Snapshot
    sides: Mapping[str, SideOfData]
    leaks: Mapping[str, Mapping[str, int]]
    ties: Mapping[str, int]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the task, in the order of their class indices."""
        return LABELS[Task(self.run.task)]


@dataclass(frozen=True, slots=True)
class BatchOfData:
    """A batch that first brought scans of the snapshot."""

    id: str
    drop_name: str
    claimed_at: datetime
    scans: int


def read_data(session: Session, run: Run) -> DataOfRun:
    """The data of a run, judged or not."""
    leaks: dict[str, dict[str, int]] = {kind: {} for kind in LEAK_KINDS}
    for leak in session.scalars(select(Leak).where(Leak.run_id == run.id)):
        leaks[leak.kind][leak.label] = leak.scans
    return DataOfRun(
        run=run,
        snapshot=session.get_one(Snapshot, run.snapshot_id),
        sides=read_sides(session, run.snapshot_id),
        leaks=leaks,
        ties=_read_ties(session, run),
    )


def read_sides(session: Session, snapshot_id: str) -> dict[str, SideOfData]:
    """The sides of a snapshot, empty ones among them."""
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
    counted: dict[tuple[str, str | None], SideOfData] = {
        (split, label): SideOfData(scans, groups, masked)
        for split, label, scans, groups, masked in rows
    }
    return {
        side: replace(
            counted.get((side, None), SideOfData()),
            labels={
                label: part for (split, label), part in counted.items() if split == side and label
            },
        )
        for side in SIDES
    }


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


def read_recorded(session: Session, snapshot_id: str) -> dict[str, int]:
    """For how many scans of a snapshot manifests say what: by what, the most frequent first."""
    of_snapshot = (
        select(SnapshotScan.scan_id)
        .join(BatchFile, BatchFile.scan_id == SnapshotScan.scan_id)
        .where(SnapshotScan.snapshot_id == snapshot_id)
    )
    row = session.execute(
        of_snapshot.with_only_columns(
            *(
                func.count(SnapshotScan.scan_id.distinct()).filter(column.is_not(None))
                for column in _COLUMNS.values()
            )
        )
    ).one()
    is_object = func.jsonb_typeof(BatchFile.attributes) == "object"
    pair = (
        func.jsonb_each_text(case((is_object, BatchFile.attributes)))
        .table_valued("key", "value")
        .render_derived()
    )
    further = session.execute(
        of_snapshot.with_only_columns(pair.c.key, func.count(SnapshotScan.scan_id.distinct()))
        .join(pair, pair.c.value != "")
        .group_by(pair.c.key)
    )
    counts = Counter(dict(zip(_COLUMNS, row, strict=True)))
    counts.update({name: scans for name, scans in further if name not in _COLUMNS})
    return {name: count for name, count in counts.most_common() if count}


def read_sites(session: Session, snapshot_id: str) -> list[str]:
    """The sites that manifests name for scans of a snapshot."""
    rows = session.scalars(
        select(BatchFile.site)
        .distinct()
        .join(SnapshotScan, BatchFile.scan_id == SnapshotScan.scan_id)
        .where(SnapshotScan.snapshot_id == snapshot_id)
    )
    return sorted(site for site in rows if site)


def read_learnt(session: Session, snapshot_id: str, of_training: str) -> int:
    """Test scans of a snapshot that another one has, or has the group of, outside its test side."""
    other = aliased(SnapshotScan)
    trained = select(other).where(other.snapshot_id == of_training, other.split != "test")
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
