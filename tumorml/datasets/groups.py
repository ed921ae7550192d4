"""Groups: scans that must stay on one side of a split.

For now scans are tied by patient and study id; an exact copy is the same scan. An id is read
within its site, unless somebody used it without one: then it is one patient (or study) everywhere.
That can make a group too large; the other way a patient could leak. Case and outer blanks do not
count.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tumorml.datasets.splits import SIDES, draw_side
from tumorml.results.bulk import copy_rows
from tumorml.results.session import lock, writing
from tumorml.results.tables import BatchFile, GroupTie, Scan, ScanGroup
from tumorml.settings import Settings

logger = logging.getLogger(__name__)


def assign_groups(settings: Settings) -> int:
    """Give every scan that has none a group and a side, and record the groups that become one.

    A scan's side never changes. Where new evidence ties groups on different sides, both keep their
    side, and the scans of the later side (test after validation after train) are held out of every
    later snapshot.

    Returns:
        How many scans were given a group.
    """
    with writing(settings) as session:
        lock(session, "groups")
        placed = {
            scan: (group, side)
            for scan, group, side in session.execute(
                select(ScanGroup.scan_id, ScanGroup.group_id, ScanGroup.side)
            )
        }
        scans = list(session.scalars(select(Scan.id).order_by(Scan.id)))
        rows = []
        for members, patients in _components(session, scans, placed):
            groups = sorted({placed[scan][0] for scan in members if scan in placed})
            new = [scan for scan in members if scan not in placed]
            group = groups[0] if groups else _group_id(patients or members)
            if len(groups) > 1:
                _merge(session, groups, patients, members, placed)
            if not new:
                continue
            sides = {placed[scan][1] for scan in members if scan in placed}
            side = min(sides, key=SIDES.index) if sides else None
            side = side or draw_side(
                group,
                validation_share=settings.validation_share,
                test_share=settings.test_share,
            )
            rows += [{"scan_id": scan, "group_id": group, "side": side} for scan in new]
        copied = copy_rows(session, ScanGroup, rows)
    logger.info("%s scans were given a group", copied)
    return copied


def _components(
    session: Session, scans: list[str], placed: dict[str, tuple[str, str]]
) -> list[tuple[list[str], list[str]]]:
    """Scans that are tied, with their patients, where something in them is new."""
    nodes = {scan: index for index, scan in enumerate(scans)}
    edges: list[tuple[int, int]] = []
    names: list[str] = list(scans)

    def node(name: str) -> int:
        if name not in nodes:
            nodes[name] = len(names)
            names.append(name)
        return nodes[name]

    for kind, column in (("patient", BatchFile.patient_id), ("study", BatchFile.study_id)):
        rows = session.execute(
            select(BatchFile.scan_id, BatchFile.site, column)
            .where(BatchFile.scan_id.is_not(None), column.is_not(None))
            .distinct()
        )
        said = [(str(scan), _folded(site), _folded(name)) for scan, site, name in rows]
        siteless = {name for _, site, name in said if not site}
        for scan, site, name in said:
            where = "" if name in siteless else site
            edges.append((nodes[scan], node(f"{kind} {where}/{name}")))
    for scan, (group, _) in placed.items():
        edges.append((nodes[scan], node(f"group {group}")))

    if not names:
        return []
    pairs = np.array(edges, dtype=np.int64).reshape(-1, 2)
    graph = coo_array(
        (np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])),
        shape=(len(names), len(names)),
    )
    _, component = connected_components(graph, directed=False)
    members: dict[int, list[str]] = defaultdict(list)
    patients: dict[int, list[str]] = defaultdict(list)
    for name, index in nodes.items():
        label = int(component[index])
        if index < len(scans):
            members[label].append(name)
        elif not name.startswith("group "):
            patients[label].append(name)
    return [(members[label], sorted(patients[label])) for label in sorted(members)]


def _folded(text: str | None) -> str:
    return (text or "").strip().casefold()


def _group_id(members: list[str]) -> str:
    return "g-" + hashlib.sha256(min(members).encode()).hexdigest()[:16]


def _merge(
    session: Session,
    groups: list[str],
    patients: list[str],
    members: list[str],
    placed: dict[str, tuple[str, str]],
) -> None:
    kept, *merged = groups
    sides = dict(placed[scan] for scan in members if scan in placed)
    session.add_all(
        GroupTie(
            kept_group_id=kept,
            merged_group_id=group,
            kept_side=sides[kept],
            merged_side=sides[group],
            evidence=", ".join(patients),
        )
        for group in merged
    )
    session.execute(update(ScanGroup).where(ScanGroup.group_id.in_(merged)).values(group_id=kept))
    first = min((placed[scan][1] for scan in members if scan in placed), key=SIDES.index)
    session.execute(
        update(ScanGroup)
        .where(ScanGroup.group_id == kept, ScanGroup.side != first)
        .values(held_out=True)
    )
