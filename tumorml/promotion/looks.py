"""Versions of a task's test set, and the looks that have been taken at each."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tumorml.policy import Looks
from tumorml.promotion.rules.result import RuleResult
from tumorml.results.session import transaction_lock
from tumorml.results.tables import Run, SnapshotScan, TestSet, Verdict


@dataclass(frozen=True, slots=True)
class Look:
    """One comparison on a test set.

    Attributes:
        test_set_id: Which version of the test set.
        number: Of this look at it, from 1.
        alpha: The chance of error that it is given.
        spent: What the looks before it were given, together.
    """

    test_set_id: str
    number: int
    alpha: float
    spent: float

    def allowed(self, looks: Looks) -> bool:
        """Whether the policy still grants it."""
        return self.number <= looks.budget and self.spent + self.alpha <= looks.alpha * (1 + 1e-9)


def next_look(session: Session, run: Run, looks: Looks) -> Look:
    """The look that judging a run is, at the version of the test set that it belongs to.

    A test set grows with every drop. It counts as a new version when ``renewal_share`` of its
    groups hold no scan that the version before was founded on: one more scan is no fresh start.
    The task's test sets stay locked until the transaction ends.
    """
    transaction_lock(session, f"test set of {run.task}")
    test_set = _version_of(session, run, looks.renewal_share)
    taken, spent = session.execute(
        select(func.count(Verdict.look), func.sum(Verdict.look_alpha)).where(
            Verdict.test_set_id == test_set.id
        )
    ).one()
    return Look(test_set.id, 1 + taken, looks.alpha_per_look, spent or 0.0)


def look_budget(look: Look, looks: Looks, *, scans: int, groups: int) -> RuleResult:
    """The row of the rule that this look may be taken, at so many scans and groups."""
    allowed = look.allowed(looks)
    return RuleResult(
        "look_budget",
        "all",
        "passed" if allowed else "insufficient",
        f"look {look.number} of {looks.budget} at test set {look.test_set_id}, at a chance of "
        f"error of {look.alpha:.2g}"
        if allowed
        else f"the looks at test set {look.test_set_id} are spent: it takes new test scans, "
        f"{looks.renewal_share:.0%} of its groups, to judge again",
        scans,
        groups,
        challenger_value=float(look.number),
        threshold=float(looks.budget),
    )


def _version_of(session: Session, run: Run, renewal_share: float) -> TestSet:
    latest = session.scalar(
        select(TestSet).where(TestSet.task == run.task).order_by(TestSet.version.desc()).limit(1)
    )
    groups = _groups(session, run.snapshot_id)
    if latest is not None:
        founding = set().union(*_groups(session, latest.snapshot_id).values())
        new = sum(1 for scans in groups.values() if not scans & founding)
        if new < renewal_share * len(groups):
            return latest
    version = 1 if latest is None else latest.version + 1
    founded = TestSet(
        id=f"t-{run.task}-{version}",
        task=run.task,
        version=version,
        snapshot_id=run.snapshot_id,
        groups=len(groups),
    )
    session.add(founded)
    session.flush()
    return founded


def _groups(session: Session, snapshot_id: str) -> dict[str, set[str]]:
    rows = session.execute(
        select(SnapshotScan.group_id, SnapshotScan.scan_id).where(
            SnapshotScan.snapshot_id == snapshot_id, SnapshotScan.split == "test"
        )
    )
    groups: dict[str, set[str]] = {}
    for group, scan in rows:
        groups.setdefault(group, set()).add(scan)
    return groups
