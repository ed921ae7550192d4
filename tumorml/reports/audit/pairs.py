"""The pairs of an audit that a person should look at first."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from tumorml.datasets.audit.findings import Audit, AuditedFile
from tumorml.labels import contradict
from tumorml.results.twin_kinds import AUDIT_KINDS, TwinKind


@dataclass(frozen=True, slots=True)
class Pair:
    """Two files side by side; where the set has a split, the second is in training."""

    first: AuditedFile
    second: AuditedFile
    kind: TwinKind
    score: float | None
    group_id: str = ""

    @property
    def crosses_labels(self) -> bool:
        """Whether the two are said to show different things."""
        return contradict(self.first.label, self.second.label)

    @property
    def files(self) -> frozenset[str]:
        """The two paths, in no order."""
        return frozenset((self.first.path, self.second.path))


def worst_pairs(audit: Audit, count: int) -> list[Pair]:
    """Pairs with two labels first, at most half of all; then every kind of tie in turn.

    Within a kind, labels take turns, and a group shows a second pair only when all others of its
    kind have shown one. What one part leaves free, the other fills.
    """
    crossing = _distinct(
        [Pair(c.first, c.second, c.kind, c.score) for c in audit.conflicts]
        + [pair for pair in _ties(audit) if pair.crosses_labels]
    )
    by_kind: dict[TwinKind, list[Pair]] = defaultdict(list)
    for pair in _distinct(_ties(audit)):
        if not pair.crosses_labels:
            by_kind[pair.kind].append(pair)
    others = _in_turn([_various(by_kind[kind]) for kind in AUDIT_KINDS if kind in by_kind])
    first = crossing[: max(count - len(others), (count + 1) // 2)]
    return first + others[: count - len(first)]


def _ties(audit: Audit) -> list[Pair]:
    return [
        Pair(finding.file, finding.twin, finding.twin_in_training, finding.score, finding.group_id)
        for finding in audit.findings
        if finding.twin is not None
    ]


def _various(pairs: Iterable[Pair]) -> list[Pair]:
    """The most alike first, but labels in turn, and further pairs of one group later."""
    queues: dict[tuple[int, str], list[Pair]] = defaultdict(list)
    shown: dict[str, int] = defaultdict(int)
    for pair in sorted(pairs, key=lambda pair: (-(pair.score or 0), pair.first.path)):
        queues[shown[pair.group_id], pair.first.label or ""].append(pair)
        shown[pair.group_id] += 1
    rounds = sorted({turn for turn, _ in queues})
    return [
        pair
        for turn in rounds
        for pair in _in_turn([queues[key] for key in sorted(queues) if key[0] == turn])
    ]


def _in_turn(lists: Iterable[Iterable[Pair]]) -> list[Pair]:
    waiting = deque(deque(pairs) for pairs in lists)
    taken = []
    while waiting:
        pairs = waiting.popleft()
        if pairs:
            taken.append(pairs.popleft())
            waiting.append(pairs)
    return taken


def _distinct(pairs: Iterable[Pair]) -> list[Pair]:
    found: dict[frozenset[str], Pair] = {}
    for pair in pairs:
        found.setdefault(pair.files, pair)
    return list(found.values())
