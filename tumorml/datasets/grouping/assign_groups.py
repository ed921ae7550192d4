"""Assign scans to groups, which stay on one side of every split.

Scans with a common patient or study id, and twins, are in one group. Exact copies of a picture are
one scan.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from dataclasses import dataclass, field

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tumorml.datasets.grouping.components import components
from tumorml.datasets.grouping.patients import person_keys
from tumorml.datasets.grouping.sides import SIDES, draw_side
from tumorml.datasets.twins.compare_new_scans import compare_new_scans
from tumorml.results.bulk import copy_rows
from tumorml.results.session import transaction_lock, write_session
from tumorml.results.tables import BatchFile, Fingerprint, GroupTie, ScanGroup, Twin
from tumorml.scans.ingest.fingerprint_scans import fingerprint_scans
from tumorml.settings import Settings

logger = logging.getLogger(__name__)

_NAMED_TWINS = 4
"""Maximum number of pairs of twins in the column ``group_tie.evidence``."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """A row of ``twin``."""

    scan_id: str
    other_id: str
    kind: str
    score: float


@dataclass(slots=True)
class _Component:
    """Connected scans, with the patients, studies and twins that connect them."""

    scans: list[str] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    twins: list[_Pair] = field(default_factory=list)


def assign_groups(settings: Settings) -> int:
    """Assign a group and a side to each scan without one, and merge groups that are connected.

    Missing fingerprints and twins are computed first. The side of a scan never changes. If new
    evidence connects groups on different sides, each scan keeps its side, and the scans of the
    later side (test after validation after train) are held out of all later snapshots.

    Returns:
        Number of scans that were assigned to a group.
    """
    fingerprint_scans(settings)
    compare_new_scans(settings)
    with write_session(settings) as session:
        transaction_lock(session, "groups")
        placed = {
            scan: (group, side)
            for scan, group, side in session.execute(
                select(ScanGroup.scan_id, ScanGroup.group_id, ScanGroup.side)
            )
        }
        rows = []
        for component in _components(session, placed):
            groups = sorted({placed[scan][0] for scan in component.scans if scan in placed})
            new = [scan for scan in component.scans if scan not in placed]
            group = groups[0] if groups else new_group_id(component.people or component.scans)
            if len(groups) > 1:
                _merge(session, groups, component, placed)
            if not new:
                continue
            sides = {placed[scan][1] for scan in component.scans if scan in placed}
            side = min(sides, key=SIDES.index) if sides else None
            side = side or draw_side(
                group,
                validation_share=settings.validation_share,
                test_share=settings.test_share,
            )
            rows += [{"scan_id": scan, "group_id": group, "side": side} for scan in new]
        copied = copy_rows(session, ScanGroup, rows)
    logger.info("assigned %s scans to groups", copied)
    return copied


def new_group_id(members: list[str]) -> str:
    """Return the id of a new group, from its patient and study keys or else from its scan ids."""
    return "g-" + hashlib.sha256(min(members).encode()).hexdigest()[:16]


def _components(session: Session, placed: dict[str, tuple[str, str]]) -> list[_Component]:
    """Return the connected components of all compared scans."""
    compared = select(Fingerprint.scan_id).where(Fingerprint.compared_at.is_not(None))
    scans = sorted({*session.scalars(compared), *placed})
    nodes = {scan: index for index, scan in enumerate(scans)}
    edges: list[tuple[int, int]] = []
    people: dict[str, int] = {}
    for kind, column in (("patient", BatchFile.patient_id), ("study", BatchFile.study_id)):
        rows = session.execute(
            select(BatchFile.scan_id, BatchFile.site, column)
            .where(BatchFile.scan_id.is_not(None), column.is_not(None))
            .distinct()
        )
        named_ids = ((str(scan), site, name) for scan, site, name in rows)
        for scan, person in person_keys(kind, named_ids):
            if scan in nodes:
                edges.append((nodes[scan], people.setdefault(person, len(scans) + len(people))))
    twin_rows = session.execute(
        select(Twin.scan_id, Twin.other_id, Twin.kind, Twin.score).order_by(
            Twin.scan_id, Twin.other_id
        )
    )
    twins = [_Pair(*row) for row in twin_rows if row.scan_id in nodes and row.other_id in nodes]
    edges += [(nodes[twin.scan_id], nodes[twin.other_id]) for twin in twins]
    first_scan_of: dict[str, int] = {}
    for scan, (group, _) in placed.items():
        edges.append((nodes[scan], first_scan_of.setdefault(group, nodes[scan])))

    component_of = components(len(scans) + len(people), edges).tolist()
    component_by_number: dict[int, _Component] = defaultdict(_Component)
    for scan, index in nodes.items():
        component_by_number[component_of[index]].scans.append(scan)
    for person, index in sorted(people.items()):
        component_by_number[component_of[index]].people.append(person)
    for twin in twins:
        component_by_number[component_of[nodes[twin.scan_id]]].twins.append(twin)
    return [component_by_number[number] for number in sorted(component_by_number)]


def _merge(
    session: Session, groups: list[str], component: _Component, placed: dict[str, tuple[str, str]]
) -> None:
    kept, *merged = groups
    # A group from an earlier merge may have several sides; the first in `SIDES` counts.
    sides: dict[str, str] = {}
    for group, side in (placed[scan] for scan in component.scans if scan in placed):
        sides[group] = min(side, sides.get(group, side), key=SIDES.index)
    for group in merged:
        crossing = _crossing(group, component, placed)
        best = crossing[0] if crossing else None
        named = [
            f"{twin.kind} twins {twin.scan_id[:12]} and {twin.other_id[:12]}, "
            f"score {twin.score:.3f}"
            for twin in crossing[:_NAMED_TWINS]
        ]
        session.add(
            GroupTie(
                kept_group_id=kept,
                merged_group_id=group,
                kept_side=sides[kept],
                merged_side=sides[group],
                evidence="; ".join(component.people + named),
                scan_id=best.scan_id if best else None,
                other_id=best.other_id if best else None,
                score=best.score if best else None,
            )
        )
    session.execute(update(ScanGroup).where(ScanGroup.group_id.in_(merged)).values(group_id=kept))
    first = min(sides.values(), key=SIDES.index)
    session.execute(
        update(ScanGroup)
        .where(ScanGroup.group_id == kept, ScanGroup.side != first)
        .values(held_out=True)
    )


def _crossing(group: str, component: _Component, placed: dict[str, tuple[str, str]]) -> list[_Pair]:
    """Return the twins between a group and other groups, the highest score first."""

    def inside(scan: str) -> bool:
        return scan in placed and placed[scan][0] == group

    crossing = [twin for twin in component.twins if inside(twin.scan_id) != inside(twin.other_id)]
    return sorted(crossing, key=lambda twin: -twin.score)
