"""Versions of a task's test set, and the number of looks at each."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tumorml.policy import Looks
from tumorml.promotion.contest import Look
from tumorml.results.session import transaction_lock
from tumorml.results.tables import Run, SnapshotScan, TestSet, Verdict


def next_look(session: Session, run: Run, looks: Looks) -> Look:
    """Return the next look at the version of the test set that a run uses.

    A test set grows with every drop. A new version starts once at least ``renewal_share`` of its
    groups have no scan in the snapshot with which the current version began, so that a single new
    scan does not renew the budget. The function adds the row of a new version, and locks
    the task's test sets until the transaction ends.
    """
    transaction_lock(session, f"test set of {run.task}")
    test_set = _current_version(session, run, looks.renewal_share)
    taken, spent = session.execute(
        select(func.count(Verdict.look), func.sum(Verdict.look_alpha)).where(
            Verdict.test_set_id == test_set.id
        )
    ).one()
    return Look(test_set.id, 1 + taken, looks.alpha_per_look, spent or 0.0)


def _current_version(session: Session, run: Run, renewal_share: float) -> TestSet:
    """Return the task's newest test set, or a new version if enough groups are new."""
    latest = session.scalar(
        select(TestSet).where(TestSet.task == run.task).order_by(TestSet.version.desc()).limit(1)
    )
    groups = _test_groups(session, run.snapshot_id)
    if latest is not None:
        first_scans = set().union(*_test_groups(session, latest.snapshot_id).values())
        new = sum(1 for scans in groups.values() if not scans & first_scans)
        if new < renewal_share * len(groups):
            return latest
    version = 1 if latest is None else latest.version + 1
    test_set = TestSet(
        id=f"t-{run.task}-{version}",
        task=run.task,
        version=version,
        snapshot_id=run.snapshot_id,
        groups=len(groups),
    )
    session.add(test_set)
    session.flush()
    return test_set


def _test_groups(session: Session, snapshot_id: str) -> dict[str, set[str]]:
    """Return the ids of a snapshot's test scans by group id."""
    rows = session.execute(
        select(SnapshotScan.group_id, SnapshotScan.scan_id).where(
            SnapshotScan.snapshot_id == snapshot_id, SnapshotScan.split == "test"
        )
    )
    groups: dict[str, set[str]] = {}
    for group, scan in rows:
        groups.setdefault(group, set()).add(scan)
    return groups
