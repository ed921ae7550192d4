"""Labels of scans, from batches and from people's decisions, and conflicts between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from tumorml.datasets.grouping.components import components
from tumorml.errors import TumorMLError
from tumorml.labels import LABELS, Task, label_for_task, parse_label
from tumorml.results.session import write_session
from tumorml.results.tables import LabelDecision, Scan, ScanLabel, Twin
from tumorml.results.twin_kinds import SAME_PICTURE_KINDS
from tumorml.settings import Settings


def settle_label(settings: Settings, scan: str, label: str, *, reason: str, who: str) -> str:
    """Settle the label of one scan, and return its full id; see `settle_labels`."""
    return settle_labels(settings, [scan], label, reason=reason, who=who)[0]


def settle_labels(
    settings: Settings, scans: Sequence[str], label: str, *, reason: str, who: str
) -> list[str]:
    """Settle the label of scans in one transaction; it overrides their labels from batches.

    Every decision is kept as a row of ``label_decision``; the newest of a scan counts.

    Args:
        settings: Settings of the store.
        scans: Scan ids, or prefixes that match one scan each.
        label: A label in any spelling that folder names may have.
        reason: Reason for the decision, stored permanently.
        who: Name of the person who decides.

    Returns:
        The full ids of the scans.

    Raises:
        TumorMLError: A scan or the label is unknown, a prefix is ambiguous, or the reason is empty.
    """
    if not reason.strip():
        raise TumorMLError("Give a reason for the label.")
    parsed = parse_label(label)
    if parsed is None:
        known = sorted(set(LABELS[Task.FOUR_CLASS]) | set(LABELS[Task.BINARY]))
        raise TumorMLError(f"{label!r} is not a label. Use one of {', '.join(known)}.")
    with write_session(settings) as session:
        ids = [_full_id(session, scan) for scan in scans]
        for scan_id in ids:
            session.add(LabelDecision(scan_id=scan_id, label=parsed, reason=reason, who=who))
    return ids


def _full_id(session: Session, scan: str) -> str:
    ids = session.scalars(
        select(Scan.id).where(Scan.id.startswith(scan, autoescape=True)).limit(2)
    ).all()
    if not scan or len(ids) != 1:
        count = "More than one" if ids else "No"
        raise TumorMLError(
            f"{count} scan id begins with {scan!r}. Give a full scan id: the view label_conflict "
            "lists the scans whose labels conflict."
        )
    return ids[0]


def settled_labels(session: Session, scans: Collection[str] | None = None) -> dict[str, str]:
    """Return the settled label of some scans, or of all, by scan id; the newest decision counts."""
    decisions = select(LabelDecision.scan_id, LabelDecision.label).order_by(LabelDecision.id)
    if scans is not None:
        decisions = decisions.where(LabelDecision.scan_id.in_(scans))
    return dict(session.execute(decisions).all())


def candidate_labels(
    session: Session, task: Task, scans: Collection[str] | None = None
) -> dict[str, set[str]]:
    """Return the current labels of some or all scans, mapped to a task's labels, by scan id.

    A scan with more than one label is in conflict. The set is empty if the task has no label for
    the scan.
    """
    given = select(ScanLabel.scan_id, ScanLabel.label)
    if scans is not None:
        given = given.where(ScanLabel.scan_id.in_(scans))
    labels: dict[str, set[str]] = defaultdict(set)
    for scan, label in session.execute(given):
        labels[scan].add(label)
    labels |= {scan: {label} for scan, label in settled_labels(session, scans).items()}
    return {
        scan: {
            task_label
            for label in scan_labels
            if (task_label := label_for_task(label, task)) is not None
        }
        for scan, scan_labels in labels.items()
    }


def labels_and_conflicts(session: Session, task: Task) -> tuple[dict[str, str], set[str]]:
    """Return the task's label of each scan without a conflict, and the scans in conflict.

    Scans are in conflict if one scan has two labels, or if scans of one picture (connected by
    twins) have different labels and a person has not settled all of them.
    """
    settled = settled_labels(session)
    labels = candidate_labels(session, task)
    conflicting = {scan for scan, task_labels in labels.items() if len(task_labels) > 1}
    for scans in _scans_of_one_picture(session):
        labeled = [scan for scan in scans if labels.get(scan)]
        differ = len(set().union(*(labels[scan] for scan in labeled))) > 1
        if differ and not all(scan in settled for scan in labeled):
            conflicting.update(labeled)
    return {
        scan: next(iter(task_labels))
        for scan, task_labels in labels.items()
        if task_labels and scan not in conflicting
    }, conflicting


def _scans_of_one_picture(session: Session) -> list[list[str]]:
    """Return the connected components of scans that show one picture, two scans or more each."""
    nodes: dict[str, int] = {}
    edges = [
        (nodes.setdefault(scan, len(nodes)), nodes.setdefault(other, len(nodes)))
        for scan, other in session.execute(
            select(Twin.scan_id, Twin.other_id).where(Twin.kind.in_(SAME_PICTURE_KINDS))
        )
    ]
    scans_of: dict[int, list[str]] = defaultdict(list)
    for scan, component in zip(nodes, components(len(nodes), edges).tolist(), strict=True):
        scans_of[component].append(scan)
    return list(scans_of.values())
