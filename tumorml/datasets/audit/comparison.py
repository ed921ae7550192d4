"""The twins of a set that was read for an audit, and the honest split that follows from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from tumorml.datasets.audit.findings import AuditedFile, ComparedSet, Place, ScanTwin
from tumorml.datasets.audit.reading import LooseSet
from tumorml.datasets.grouping.components import components
from tumorml.datasets.grouping.groups import group_id
from tumorml.datasets.grouping.sides import draw_side
from tumorml.datasets.twins.find_twins import Catalogue, find_twins
from tumorml.settings import Settings

OnProgress = Callable[[int, int], None]


def with_twins_and_places(
    settings: Settings, loose: LooseSet, on_progress: OnProgress | None = None
) -> ComparedSet:
    """A set that was read, with its twins and the places of an honest split."""
    twins = compare(loose, on_progress)
    places = honest_places(settings, loose.files, twins)
    return ComparedSet(loose.name, loose.files, twins, places, loose.companions, loose.notes)


def compare(loose: LooseSet, on_progress: OnProgress | None = None) -> list[ScanTwin]:
    """Every pair of twins in the set, except within crowds that are tied already.

    Pairs across labels or splits are compared even in a crowd.
    """
    if not loose.fingerprints:
        return []
    ids = sorted(loose.fingerprints)
    prints = [loose.fingerprints[scan] for scan in ids]
    catalogue = Catalogue(
        ids, np.stack([seen.keys for seen in prints]), np.stack([seen.grids for seen in prints])
    )
    said: dict[str | None, set[tuple[str | None, str | None]]] = defaultdict(set)
    for file in loose.files:
        said[file.scan_id].add((file.label, file.split))
    twins = find_twins(
        catalogue,
        range(len(ids)),
        lambda indices: {index: prints[index].thumbnail for index in indices},
        labels=[frozenset(said[scan]) for scan in ids],
        on_progress=on_progress,
    )
    return [ScanTwin(ids[twin.first], ids[twin.second], twin.kind, twin.score) for twin in twins]


def honest_places(
    settings: Settings, files: Sequence[AuditedFile], twins: Sequence[ScanTwin]
) -> dict[str, Place]:
    """The group and the side of each scan, as the service would draw them for this set alone."""
    nodes: dict[str, int] = {}
    edges: list[tuple[int, int]] = []
    for file in files:
        if file.scan_id:
            scan = nodes.setdefault(file.scan_id, len(nodes))
            edges += [(scan, nodes.setdefault(name, len(nodes))) for name in file.persons]
    edges += [(nodes[twin.scan_id], nodes[twin.other_id]) for twin in twins]
    belongs = components(len(nodes), edges).tolist()
    scans = {file.scan_id for file in files}
    members: dict[int, list[tuple[bool, str]]] = defaultdict(list)
    for name, node in nodes.items():
        members[belongs[node]].append((name in scans, name))
    places: dict[str, Place] = {}
    for named in members.values():
        # False before true: a person names the group where there is one, else a scan does.
        group = group_id([min(named)[1]])
        side = draw_side(
            group, validation_share=settings.validation_share, test_share=settings.test_share
        )
        places |= {name: Place(group, side) for is_scan, name in named if is_scan}
    return places
