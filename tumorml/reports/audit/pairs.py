"""Selection of the pairs that a person should check first."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from tumorml.datasets.audit.findings import Audit, AuditedFile
from tumorml.labels import contradict
from tumorml.results.twin_kinds import AUDIT_KINDS, TwinKind


@dataclass(frozen=True, slots=True)
class Pair:
    """Two related files; if the set has a split, the second one is in training."""

    first: AuditedFile
    second: AuditedFile
    kind: TwinKind
    score: float | None
    group_id: str = ""

    @property
    def crosses_labels(self) -> bool:
        """The two files have contradicting labels."""
        return contradict(self.first.label, self.second.label)

    @property
    def files(self) -> frozenset[str]:
        """The two paths, without order."""
        return frozenset((self.first.path, self.second.path))


def worst_pairs(audit: Audit, count: int) -> list[Pair]:
    """Select pairs: first those with two labels, then alternating between kinds of relation.

    Pairs with two labels are at most half of the selection, unless there are too few others. Within
    a kind, labels alternate, and a group gets a second pair only after every other group of the
    kind has one.
    """
    crossing = _distinct(
        [Pair(c.first, c.second, c.kind, c.score) for c in audit.conflicts]
        + [pair for pair in _related_pairs(audit) if pair.crosses_labels]
    )
    by_kind: dict[TwinKind, list[Pair]] = defaultdict(list)
    for pair in _distinct(_related_pairs(audit)):
        if not pair.crosses_labels:
            by_kind[pair.kind].append(pair)
    others = _alternate(
        [_alternate_labels(by_kind[kind]) for kind in AUDIT_KINDS if kind in by_kind]
    )
    first = crossing[: max(count - len(others), (count + 1) // 2)]
    return first + others[: count - len(first)]


def _related_pairs(audit: Audit) -> list[Pair]:
    return [
        Pair(finding.file, finding.twin, finding.twin_in_training, finding.score, finding.group_id)
        for finding in audit.findings
        if finding.twin is not None
    ]


def _alternate_labels(pairs: Iterable[Pair]) -> list[Pair]:
    """Sort pairs: the most similar pair of each group first, labels alternating; then the rest."""
    queues: dict[tuple[int, str], list[Pair]] = defaultdict(list)
    shown: dict[str, int] = defaultdict(int)
    for pair in sorted(pairs, key=lambda pair: (-(pair.score or 0), pair.first.path)):
        queues[shown[pair.group_id], pair.first.label or ""].append(pair)
        shown[pair.group_id] += 1
    rounds = sorted({turn for turn, _ in queues})
    return [
        pair
        for turn in rounds
        for pair in _alternate([queues[key] for key in sorted(queues) if key[0] == turn])
    ]


def _alternate(lists: Iterable[Iterable[Pair]]) -> list[Pair]:
    queues = deque(deque(pairs) for pairs in lists)
    alternated = []
    while queues:
        pairs = queues.popleft()
        if pairs:
            alternated.append(pairs.popleft())
            queues.append(pairs)
    return alternated


def _distinct(pairs: Iterable[Pair]) -> list[Pair]:
    found: dict[frozenset[str], Pair] = {}
    for pair in pairs:
        found.setdefault(pair.files, pair)
    return list(found.values())
