"""Find the twins of a set that was read for an audit, and draw a leak-free split of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from tumorml.datasets.audit.findings import AuditedFile, ComparedSet, Place, ScanTwin
from tumorml.datasets.audit.read_loose_set import LooseSet
from tumorml.datasets.grouping.assign_groups import new_group_id
from tumorml.datasets.grouping.components import components
from tumorml.datasets.grouping.sides import draw_side
from tumorml.datasets.twins.candidates import Catalogue
from tumorml.datasets.twins.find_twins import find_twins
from tumorml.settings import Settings

OnProgress = Callable[[int, int], None]


def compare_loose_set(
    settings: Settings, loose: LooseSet, on_progress: OnProgress | None = None
) -> ComparedSet:
    """Return a set with its twins, and the group and side of each scan in a leak-free split."""
    twins = _find_twins_of_set(loose, on_progress)
    places = draw_places(settings, loose.files, twins)
    return ComparedSet(loose.name, loose.files, twins, places, loose.companions, loose.notes)


def _find_twins_of_set(loose: LooseSet, on_progress: OnProgress | None = None) -> list[ScanTwin]:
    """Find the twins of the set.

    Among many copies of one picture, some pairs are skipped; pairs whose labels or splits differ
    are always returned.
    """
    if not loose.fingerprints:
        return []
    ids = sorted(loose.fingerprints)
    fingerprints = [loose.fingerprints[scan] for scan in ids]
    catalogue = Catalogue(
        ids,
        np.stack([fingerprint.keys for fingerprint in fingerprints]),
        np.stack([fingerprint.grids for fingerprint in fingerprints]),
    )
    labels_and_splits: dict[str | None, set[tuple[str | None, str | None]]] = defaultdict(set)
    for file in loose.files:
        labels_and_splits[file.scan_id].add((file.label, file.split))
    twins = find_twins(
        catalogue,
        range(len(ids)),
        lambda indices: {index: fingerprints[index].thumbnail for index in indices},
        labels=[frozenset(labels_and_splits[scan]) for scan in ids],
        on_progress=on_progress,
    )
    return [ScanTwin(ids[twin.first], ids[twin.second], twin.kind, twin.score) for twin in twins]


def draw_places(
    settings: Settings, files: Sequence[AuditedFile], twins: Sequence[ScanTwin]
) -> dict[str, Place]:
    """Return the group and side of each scan, as the service would draw them for this set."""
    nodes: dict[str, int] = {}
    edges: list[tuple[int, int]] = []
    for file in files:
        if file.scan_id:
            scan = nodes.setdefault(file.scan_id, len(nodes))
            edges += [(scan, nodes.setdefault(name, len(nodes))) for name in file.persons]
    edges += [(nodes[twin.scan_id], nodes[twin.other_id]) for twin in twins]
    component_of = components(len(nodes), edges).tolist()
    scans = {file.scan_id for file in files}
    members: dict[int, list[tuple[bool, str]]] = defaultdict(list)
    for name, node in nodes.items():
        members[component_of[node]].append((name in scans, name))
    places: dict[str, Place] = {}
    for component in members.values():
        # False sorts before True, so patient and study keys take precedence over scan ids.
        group = new_group_id([min(component)[1]])
        side = draw_side(
            group, validation_share=settings.validation_share, test_share=settings.test_share
        )
        places |= {name: Place(group, side) for is_scan, name in component if is_scan}
    return places
