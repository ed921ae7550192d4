"""What each scan shows, as batches said and as people settled it; and where that contradicts."""

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
    """Settle what a scan shows: `settle_labels` of one; returns its whole id."""
    return settle_labels(settings, [scan], label, reason=reason, who=who)[0]


def settle_labels(
    settings: Settings, scans: Sequence[str], label: str, *, reason: str, who: str
) -> list[str]:
    """Settle what scans show, all or none; what batches said of them does not count any more.

    Every decision stays as a row of ``label_decision``; the newest counts.

    Args:
        settings: Where.
        scans: Of each its id, or as much of its beginning as no other scan shares.
        label: In any spelling that folders may have.
        reason: Why, kept for ever.
        who: Who says so.

    Returns:
        The scans' whole ids.

    Raises:
        TumorMLError: There is no such scan or label, or no reason is given.
    """
    if not reason.strip():
        raise TumorMLError("Settling a label needs a reason.")
    parsed = parse_label(label)
    if parsed is None:
        known = sorted(set(LABELS[Task.FOUR_CLASS]) | set(LABELS[Task.BINARY]))
        raise TumorMLError(f"{label!r} is no label; one of {', '.join(known)} is.")
    with write_session(settings) as session:
        ids = [_whole_id(session, scan) for scan in scans]
        for scan_id in ids:
            session.add(LabelDecision(scan_id=scan_id, label=parsed, reason=reason, who=who))
    return ids


def _whole_id(session: Session, scan: str) -> str:
    ids = session.scalars(
        select(Scan.id).where(Scan.id.startswith(scan, autoescape=True)).limit(2)
    ).all()
    if not scan or len(ids) != 1:
        found = "more than one scan begins" if ids else "no scan begins"
        raise TumorMLError(
            f"The scan {scan!r} cannot be told: {found} like that. The view label_conflict "
            "lists the scans whose labels contradict."
        )
    return ids[0]


def settled_labels(session: Session, scans: Collection[str] | None = None) -> dict[str, str]:
    """The labels that people settled, by scan id; the newest of each, of these scans or of all."""
    decisions = select(LabelDecision.scan_id, LabelDecision.label).order_by(LabelDecision.id)
    if scans is not None:
        decisions = decisions.where(LabelDecision.scan_id.in_(scans))
    return dict(session.execute(decisions).all())


def scan_readings(
    session: Session, task: Task, scans: Collection[str] | None = None
) -> dict[str, set[str]]:
    """All that is said today of what these scans, or all, show in a task's space, by scan id."""
    said = select(ScanLabel.scan_id, ScanLabel.label)
    if scans is not None:
        said = said.where(ScanLabel.scan_id.in_(scans))
    labels: dict[str, set[str]] = defaultdict(set)
    for scan, label in session.execute(said):
        labels[scan].add(label)
    labels |= {scan: {label} for scan, label in settled_labels(session, scans).items()}
    return {
        scan: {str(read) for label in found if (read := label_for_task(label, task))}
        for scan, found in labels.items()
    }


def readings_for_task(session: Session, task: Task) -> tuple[dict[str, str], set[str]]:
    """What each scan shows in a task's space, and the scans that stand in a conflict.

    A conflict is one scan with two readings, or scans that show one picture, directly or through
    others, with different readings, unless a person settled all of them.
    """
    settled = settled_labels(session)
    readings = scan_readings(session, task)
    conflicting = {scan for scan, read in readings.items() if len(read) > 1}
    for scans in _pictures(session):
        read_scans = [scan for scan in scans if readings.get(scan)]
        differ = len(set().union(*(readings[scan] for scan in read_scans))) > 1
        if differ and not all(scan in settled for scan in read_scans):
            conflicting.update(read_scans)
    return {
        scan: next(iter(read))
        for scan, read in readings.items()
        if read and scan not in conflicting
    }, conflicting


def _pictures(session: Session) -> list[list[str]]:
    """The scans that show one picture, for each picture that more than one scan shows."""
    nodes: dict[str, int] = {}
    edges = [
        (nodes.setdefault(scan, len(nodes)), nodes.setdefault(other, len(nodes)))
        for scan, other in session.execute(
            select(Twin.scan_id, Twin.other_id).where(Twin.kind.in_(SAME_PICTURE_KINDS))
        )
    ]
    found: dict[int, list[str]] = defaultdict(list)
    for scan, label in zip(nodes, components(len(nodes), edges).tolist(), strict=True):
        found[label].append(scan)
    return list(found.values())
