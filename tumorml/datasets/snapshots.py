"""Snapshots: the frozen list of (scan, label, split) that one run sees."""

from __future__ import annotations

import hashlib
import io
import logging
from collections import Counter
from dataclasses import asdict, dataclass, replace

from sqlalchemy import select

from tumorml.datasets.grouping.groups import assign_groups
from tumorml.datasets.grouping.sides import draw_side
from tumorml.datasets.labelling import readings_for_task, settled_labels
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
    """Freeze what is known now for a task; the same data gives the same snapshot.

    Scans whose labels contradict, and those that a tie connects to another side, are held out and
    counted.

    Args:
        settings: Where, and how much is enough.
        task: What is learnt.
        given_split: Follow the Training and Testing folders that drops came with, file by file, in
            place of the groups: for benchmarks only. One scan can then stand on both sides.

    Returns:
        The snapshot's id, ``s-`` and 16 hex digits of the SHA-256 of its rows.

    Raises:
        TumorMLError: There are too few scans of a label to train or validate on, or a group stands
            on both sides of the split.
    """
    assign_groups(settings)
    if given_split:
        entries, held_out = _scans_as_given(settings, task)
    else:
        entries, held_out = _labelled_scans(settings, task)
    _check_counts(settings, task, entries)
    if not given_split:
        check_no_leak(entries)
    elif not any(e.split == "test" for e in entries):
        raise TumorMLError(
            f"The drops' own split has no test scan for the task {task}: --given-split follows "
            "folders named Training and Testing, or a manifest's column split."
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
            logger.info("snapshot %s is already taken: nothing has changed", snapshot_id)
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
    """The scans of a snapshot, in order of scan id."""
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
    """Refuse a list in which one group stands on two sides.

    Raises:
        TumorMLError: Naming the groups.
    """
    sides: dict[str, set[str]] = {}
    for entry in entries:
        sides.setdefault(entry.group_id, set()).add(entry.split)
    leaking = sorted(group for group, splits in sides.items() if len(splits) > 1)
    if leaking:
        raise TumorMLError(
            f"{len(leaking)} groups stand on two sides of the split, for instance {leaking[:3]}: "
            "no model may be trained or judged on this snapshot."
        )


def _labelled_scans(settings: Settings, task: Task) -> tuple[list[SnapshotEntry], Counter[str]]:
    """The scans on the sides of their groups, and how many are held out for which reason."""
    with read_session(settings) as session:
        readings, conflicting = readings_for_task(session, task)
        groups = session.execute(
            select(ScanGroup.scan_id, ScanGroup.group_id, ScanGroup.side, ScanGroup.held_out)
        ).all()
    entries: list[SnapshotEntry] = []
    held_out: Counter[str] = Counter()
    for scan, group, side, tied in sorted(groups):
        if scan in conflicting:
            held_out["label_conflict"] += 1
        elif scan in readings and tied:
            held_out["tied_to_another_side"] += 1
        elif scan in readings:
            entries.append(SnapshotEntry(scan, readings[scan], side, group))
    return entries, held_out


def _scans_as_given(settings: Settings, task: Task) -> tuple[list[SnapshotEntry], Counter[str]]:
    """The scans on the sides that their drops gave them; validation is drawn out of training.

    Raises:
        TumorMLError: No drop came with a split of its own.
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
    said: dict[tuple[str, str], set[str]] = {}
    for scan, split, label in files:
        reading_of = label_for_task(settled.get(str(scan), str(label)), task)
        if reading_of and scan in groups:
            said.setdefault((str(scan), str(split)), set()).add(reading_of)
    if not said:
        raise TumorMLError(
            f"No drop came with a split of its own for the task {task}: --given-split follows "
            "folders named Training and Testing, or a manifest's column split."
        )
    share = settings.validation_share / (1 - settings.test_share)
    entries: list[SnapshotEntry] = []
    held_out: Counter[str] = Counter()
    for (scan, split), readings in sorted(said.items()):
        if len(readings) > 1:
            held_out["label_conflict"] += 1
            continue
        if split == "train":
            split = draw_side(groups[scan], validation_share=share, test_share=0)
        entries.append(SnapshotEntry(scan, readings.pop(), split, groups[scan]))
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
    least = settings.min_training_scans_per_label
    short = {label: training[label] for label in LABELS[task] if training[label] < least}
    if short:
        raise TumorMLError(
            f"Too few training scans for the task {task}: {short}, at least {least} of each label "
            "are needed. Drop more labelled scans into the inbox."
        )
    if len(training) < 2:
        raise TumorMLError(
            f"All training scans of the task {task} have one label, {', '.join(training) or 'none'}"
            ": there is nothing to tell apart. Drop scans of another label into the inbox."
        )
    if not any(e.split == "validation" for e in entries):
        raise TumorMLError(
            f"No scan of the task {task} was drawn for validation; drop more labelled scans."
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
    """The tasks whose labelled scans are enough for a snapshot."""
    assign_groups(settings)
    enough = []
    for task in Task:
        entries, _ = _labelled_scans(settings, task)
        try:
            _check_counts(settings, task, entries)
        except TumorMLError as error:
            logger.info("%s", error)
        else:
            enough.append(task)
    return enough
