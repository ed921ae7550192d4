"""Leaks: relations of the test scans of a run to the scans that its model was trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tumorml.datasets.snapshots import SnapshotEntry
from tumorml.results.bulk import copy_rows
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Leak, ModelVersion, Run, ScanGroup, SnapshotScan, Twin
from tumorml.results.twin_kinds import LEAK_KINDS, TwinKind
from tumorml.settings import Settings


def find_leaks(
    settings: Settings, entries: Sequence[SnapshotEntry], other_training_scans: Collection[str] = ()
) -> dict[str, TwinKind]:
    """Return the closest relation of each test scan to training or validation scans.

    The current twins and groups are used, which may be newer than the snapshot.

    Args:
        settings: Settings of the store.
        entries: Entries of a snapshot.
        other_training_scans: Additional scans that count as training.

    Returns:
        A kind of ``LEAK_KINDS`` for each test scan.
    """
    test = {entry.scan_id for entry in entries if entry.split == "test"}
    training_scans = {entry.scan_id for entry in entries if entry.split != "test"} | set(
        other_training_scans
    )
    kinds = {scan: TwinKind.EXACT if scan in training_scans else TwinKind.NONE for scan in test}
    with read_session(settings) as session:
        groups = dict(session.execute(select(ScanGroup.scan_id, ScanGroup.group_id)).all())
        twins = session.execute(select(Twin.scan_id, Twin.other_id, Twin.kind)).all()
    for first, second, kind in twins:
        for scan, other in ((first, second), (second, first)):
            if scan in test and other in training_scans:
                kinds[scan] = min(kinds[scan], TwinKind(kind), key=lambda kind: kind.strength)
    training_groups = {groups.get(scan) for scan in training_scans} - {None}
    for scan, kind in kinds.items():
        if kind is TwinKind.NONE and groups.get(scan) in training_groups:
            kinds[scan] = TwinKind.SAME_GROUP
    return kinds


def write_leak_report(
    settings: Settings, run_id: str, entries: Sequence[SnapshotEntry]
) -> dict[str, TwinKind]:
    """Replace the ``leak`` rows of a run, and return the result of ``find_leaks``.

    The training scans include those of all models that the run's weights descend from.
    """
    with read_session(settings) as session:
        other_training_scans = scans_seen_by_ancestors(session, run_id)
    kinds = find_leaks(settings, entries, other_training_scans)
    labels = {entry.scan_id: entry.label for entry in entries if entry.split == "test"}
    counts = Counter((kind, labels[scan]) for scan, kind in kinds.items())
    rows = [
        {"run_id": run_id, "kind": kind, "label": label, "scans": counts[kind, label]}
        for label in sorted(set(labels.values()))
        for kind in LEAK_KINDS
    ]
    with write_session(settings) as session:
        session.execute(delete(Leak).where(Leak.run_id == run_id))
        copy_rows(session, Leak, rows)
    return kinds


def scans_seen_by_ancestors(session: Session, run_id: str) -> set[str]:
    """Return the training and validation scans of all models that a run's weights descend from.

    A run with a warm start continues from the weights of a champion, which may itself have had a
    warm start. A recipe may also name the weights file of a model version.
    """
    lineage = (
        select(Run.id, Run.snapshot_id, Run.warm_start_id, Run.weights_sha256)
        .where(Run.id == run_id)
        .cte("lineage", recursive=True)
    )
    lineage = lineage.union(
        select(Run.id, Run.snapshot_id, Run.warm_start_id, Run.weights_sha256)
        .join(ModelVersion, ModelVersion.run_id == Run.id)
        .join(
            lineage,
            (lineage.c.warm_start_id == ModelVersion.id)
            | (lineage.c.weights_sha256 == ModelVersion.sha256),
        )
    )
    snapshots = select(lineage.c.snapshot_id).where(lineage.c.id != run_id)
    training_scans = (
        select(SnapshotScan.scan_id)
        .where(SnapshotScan.snapshot_id.in_(snapshots), SnapshotScan.split != "test")
        .distinct()
    )
    return set(session.scalars(training_scans))


def held_out_scans(session: Session, scans: Sequence[str]) -> set[str]:
    """Return those of the scans that are held out because their group is on two sides."""
    held_out = select(ScanGroup.scan_id).where(ScanGroup.held_out)
    return set(session.scalars(held_out)) & set(scans)
