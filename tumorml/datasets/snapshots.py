"""Snapshots: frozen, content-addressed lists of (scan, label, split)."""

from __future__ import annotations

import hashlib
import io
import logging
from collections import Counter
from dataclasses import asdict, dataclass, replace

from sqlalchemy import select

from tumorml.datasets.grouping.assign_groups import assign_groups
from tumorml.datasets.grouping.sides import draw_side
from tumorml.datasets.labeling import labels_and_conflicts, settled_labels
from tumorml.errors import TumorMLError
from tumorml.labels import LABELS, Task, label_for_task
from tumorml.objects import object_store
from tumorml.objects.keys import snapshot_key
from tumorml.results.bulk import copy_rows
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import BatchFile, ScanGroup, Snapshot, SnapshotScan
from tumorml.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SnapshotEntry:
    """One scan of a snapshot."""

    scan_id: str
    label: str
    split: str
    group_id: str
    masked: bool = False


def take_snapshot(settings: Settings, task: Task, *, given_split: bool = False) -> str:
    """Take a snapshot of the labeled scans of a task; the same data gives the same snapshot.

    Scans with conflicting labels, and scans held out because their group is on two sides, are left
    out and counted.

    Args:
        settings: Settings of the store, with the minimum number of training scans.
        task: Task that defines the labels.
        given_split: Follow the split of the drops (folders Training and Testing, or the manifest)
            file by file instead of the groups, for benchmarks only. One scan can then be in two
            splits.

    Returns:
        The id of the snapshot: ``s-`` and 16 hex digits of the SHA-256 of its rows.

    Raises:
        TumorMLError: There are too few scans of a label for training, or none for validation; or
            a group is on two sides of the split.
    """
    assign_groups(settings)
    if given_split:
        entries, held_out = _scans_as_given(settings, task)
    else:
        entries, held_out = _labeled_scans(settings, task)
    _check_counts(settings, task, entries)
    if not given_split:
        check_no_leak(entries)
    elif not any(e.split == "test" for e in entries):
        raise TumorMLError(
            f"The split that came with the drops has no test scan for the task {task}. "
            "--given-split needs folders named Training and Testing, or a column `split` in the "
            "manifest."
        )

    entries = _with_masks(settings, entries)
    lines = "".join(
        f"{e.scan_id},{e.label},{e.split},{e.group_id}{',masked' if e.masked else ''}\n"
        for e in entries
    )
    kind = f"{task}, given split" if given_split else str(task)
    snapshot_id = "s-" + hashlib.sha256(f"{kind}\n{lines}".encode()).hexdigest()[:16]
    with read_session(settings) as session:
        if session.get(Snapshot, snapshot_id) is not None:
            logger.info("snapshot %s exists: no scan or label has changed", snapshot_id)
            return snapshot_id

    key = snapshot_key(snapshot_id)
    object_store(settings).write(key, _parquet(entries))
    counts = Counter((e.split, e.label) for e in entries)
    nested: dict[str, dict[str, int]] = {}
    for (split, label), count in sorted(counts.items()):
        nested.setdefault(split, {})[label] = count
    with write_session(settings) as session:
        row = {
            "id": snapshot_id,
            "task": str(task),
            "counts": nested,
            "held_out": dict(held_out),
            "given_split": given_split,
            "object_key": key,
        }
        if copy_rows(session, Snapshot, [row], on_conflict_do_nothing=True):
            rows = ({"snapshot_id": snapshot_id, **asdict(entry)} for entry in entries)
            copy_rows(session, SnapshotScan, rows)
    logger.info("snapshot %s: %s, held out %s", snapshot_id, nested, dict(held_out))
    return snapshot_id


def read_snapshot(settings: Settings, snapshot_id: str) -> list[SnapshotEntry]:
    """Return the entries of a snapshot, ordered by scan id and split.

    Raises:
        TumorMLError: There is no such snapshot.
    """
    with read_session(settings) as session:
        rows = session.execute(
            select(
                SnapshotScan.scan_id,
                SnapshotScan.label,
                SnapshotScan.split,
                SnapshotScan.group_id,
                SnapshotScan.masked,
            )
            .where(SnapshotScan.snapshot_id == snapshot_id)
            .order_by(SnapshotScan.scan_id, SnapshotScan.split)
        )
        entries = [SnapshotEntry(*row) for row in rows]
    if not entries:
        raise TumorMLError(f"There is no snapshot {snapshot_id!r}.")
    return entries


def check_no_leak(entries: list[SnapshotEntry]) -> None:
    """Check that each group is on one side of the split.

    Raises:
        TumorMLError: Groups are on two sides; three of them are named.
    """
    sides: dict[str, set[str]] = {}
    for entry in entries:
        sides.setdefault(entry.group_id, set()).add(entry.split)
    leaking = sorted(group for group, splits in sides.items() if len(splits) > 1)
    if leaking:
        raise TumorMLError(
            f"{len(leaking)} groups are on two sides of the split, for instance {leaking[:3]}, so "
            "this snapshot cannot be used for training. Start a new run on a new snapshot."
        )


def _labeled_scans(settings: Settings, task: Task) -> tuple[list[SnapshotEntry], Counter[str]]:
    """Return the scans with the sides of their groups, and the number held out by reason."""
    with read_session(settings) as session:
        labels, conflicting = labels_and_conflicts(session, task)
        groups = session.execute(
            select(ScanGroup.scan_id, ScanGroup.group_id, ScanGroup.side, ScanGroup.held_out)
        ).all()
    entries: list[SnapshotEntry] = []
    held_out: Counter[str] = Counter()
    for scan, group, side, is_held_out in sorted(groups):
        if scan in conflicting:
            held_out["label_conflict"] += 1
        elif scan in labels and is_held_out:
            held_out["tied_to_another_side"] += 1
        elif scan in labels:
            entries.append(SnapshotEntry(scan, labels[scan], side, group))
    return entries, held_out


def _scans_as_given(settings: Settings, task: Task) -> tuple[list[SnapshotEntry], Counter[str]]:
    """Return the scans with the splits of their drops; validation is drawn from training.

    Raises:
        TumorMLError: No drop came with a split.
    """
    with read_session(settings) as session:
        groups = dict(session.execute(select(ScanGroup.scan_id, ScanGroup.group_id)).all())
        settled = settled_labels(session)
        files = session.execute(
            select(BatchFile.scan_id, BatchFile.given_split, BatchFile.label)
            .where(
                BatchFile.scan_id.is_not(None),
                BatchFile.given_split.is_not(None),
                BatchFile.label.is_not(None),
            )
            .distinct()
        ).all()
    labels_by_scan_and_split: dict[tuple[str, str], set[str]] = {}
    for scan, split, label in files:
        task_label = label_for_task(settled.get(str(scan), str(label)), task)
        if task_label and scan in groups:
            key = (str(scan), str(split))
            labels_by_scan_and_split.setdefault(key, set()).add(task_label)
    if not labels_by_scan_and_split:
        raise TumorMLError(
            f"No drop came with a split for the task {task}. --given-split needs folders named "
            "Training and Testing, or a column `split` in the manifest."
        )
    share = settings.validation_share / (1 - settings.test_share)
    entries: list[SnapshotEntry] = []
    held_out: Counter[str] = Counter()
    for (scan, split), labels in sorted(labels_by_scan_and_split.items()):
        if len(labels) > 1:
            held_out["label_conflict"] += 1
            continue
        if split == "train":
            split = draw_side(groups[scan], validation_share=share, test_share=0)
        entries.append(SnapshotEntry(scan, labels.pop(), split, groups[scan]))
    return entries, held_out


def _with_masks(settings: Settings, entries: list[SnapshotEntry]) -> list[SnapshotEntry]:
    with read_session(settings) as session:
        masked = set(
            session.scalars(
                select(BatchFile.scan_id).where(BatchFile.mask_key.is_not(None)).distinct()
            )
        )
    return [replace(entry, masked=entry.scan_id in masked) for entry in entries]


def _check_counts(settings: Settings, task: Task, entries: list[SnapshotEntry]) -> None:
    training = Counter(e.label for e in entries if e.split == "train")
    minimum = settings.min_training_scans_per_label
    too_few = {label: training[label] for label in LABELS[task] if training[label] < minimum}
    if too_few:
        raise TumorMLError(
            f"Too few training scans for the task {task}: {too_few}, at least {minimum} of each "
            "label are needed. Drop more labeled scans into the inbox."
        )
    if len(training) < 2:
        raise TumorMLError(
            f"All training scans of the task {task} have one label, {', '.join(training) or 'none'}"
            ". Drop scans of another label into the inbox."
        )
    if not any(e.split == "validation" for e in entries):
        raise TumorMLError(
            f"No scan of the task {task} is in validation. Drop more labeled scans into the inbox."
        )


def _parquet(entries: list[SnapshotEntry]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            name: [getattr(entry, name) for entry in entries]
            for name in ("scan_id", "label", "split", "group_id", "masked")
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def tasks_with_enough_scans(settings: Settings) -> list[Task]:
    """Return the tasks that have enough labeled scans for a snapshot."""
    assign_groups(settings)
    enough = []
    for task in Task:
        entries, _ = _labeled_scans(settings, task)
        try:
            _check_counts(settings, task, entries)
        except TumorMLError as error:
            logger.info("%s", error)
        else:
            enough.append(task)
    return enough
