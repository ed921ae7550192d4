"""The leak report: which scans that judge a model have a twin among those it learnt from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from tumorml.datasets.snapshots import SnapshotEntry
from tumorml.results.bulk import copy_rows
from tumorml.results.session import reading, writing
from tumorml.results.tables import Leak, ScanGroup, Twin
from tumorml.results.tables.training import LEAK_KINDS
from tumorml.settings import Settings


def leaks_of(settings: Settings, entries: Sequence[SnapshotEntry]) -> dict[str, str]:
    """How each test scan is related to the closest training or validation scan, as known today.

    Returns:
        For each test scan ``exact``, ``reencoded``, ``mirrored``, ``similar``, ``same_group`` (one
        patient, or tied through scans in between) or ``none``.
    """
    test = {entry.scan_id for entry in entries if entry.split == "test"}
    seen = {entry.scan_id for entry in entries if entry.split != "test"}
    kinds = {scan: "exact" if scan in seen else "none" for scan in test}
    with reading(settings) as session:
        groups = dict(session.execute(select(ScanGroup.scan_id, ScanGroup.group_id)).all())
        twins = session.execute(select(Twin.scan_id, Twin.other_id, Twin.kind)).all()
    for first, second, kind in twins:
        for scan, other in ((first, second), (second, first)):
            if scan in test and other in seen:
                kinds[scan] = min(kinds[scan], kind, key=LEAK_KINDS.index)
    groups_seen = {groups.get(scan) for scan in seen} - {None}
    for scan, kind in kinds.items():
        if kind == "none" and groups.get(scan) in groups_seen:
            kinds[scan] = "same_group"
    return kinds


def write_leak_report(
    settings: Settings, run_id: str, entries: Sequence[SnapshotEntry]
) -> dict[str, str]:
    """Write a run's ``leak`` rows, over those of an earlier try; what ``leaks_of`` says."""
    kinds = leaks_of(settings, entries)
    labels = {entry.scan_id: entry.label for entry in entries if entry.split == "test"}
    counts = Counter((kind, labels[scan]) for scan, kind in kinds.items())
    rows = [
        {"run_id": run_id, "kind": kind, "label": label, "scans": counts[kind, label]}
        for label in sorted(set(labels.values()))
        for kind in LEAK_KINDS
    ]
    with writing(settings) as session:
        session.execute(delete(Leak).where(Leak.run_id == run_id))
        copy_rows(session, Leak, rows)
    return kinds


def held_out_now(session: Session, scans: Sequence[str]) -> set[str]:
    """Of these scans, those that a tie connects to another side by now."""
    held_out = select(ScanGroup.scan_id).where(ScanGroup.held_out)
    return set(session.scalars(held_out)) & set(scans)
