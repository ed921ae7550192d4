"""Summarize a set of files: twins across its split, label conflicts, and a leak-free split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from tumorml.datasets.audit.findings import (
    HELD_OUT,
    TWO_LABELS,
    Audit,
    AuditedFile,
    Conflict,
    Finding,
    LabelCount,
    Place,
    ScanTwin,
)
from tumorml.datasets.grouping.sides import SIDES
from tumorml.datasets.twins.find_twins import SAME_PICTURE_LIKENESS
from tumorml.labels import LABELS, Task, contradict
from tumorml.results.twin_kinds import AUDIT_KINDS, TwinKind


def summarize(
    files: Sequence[AuditedFile], twins: Sequence[ScanTwin], groups: Mapping[str, Place]
) -> Audit:
    """Return the audit of a set.

    Args:
        files: All files; at least one of them is readable.
        twins: Pairs of different scans, each pair once.
        groups: Group and side of each scan, by scan id.
    """
    readable = [file for file in files if file.scan_id]
    has_split = {"train", "test"} <= {file.split for file in readable}
    training = _TrainingIndex(
        [file for file in readable if file.split == "train" or not has_split], twins
    )
    findings = []
    for file in files:
        if file.scan_id is None:
            findings.append(Finding(file))
            continue
        group = groups[file.scan_id].group_id
        is_audited = file.split == "test" or not has_split
        findings.append(training.finding(file, group) if is_audited else Finding(file, group))
    conflicts = list(_conflicts(readable, twins))
    sides: dict[str, set[str]] = defaultdict(set)
    for file in readable:
        if file.scan_id and file.split:
            sides[groups[file.scan_id].group_id].add(file.split)
    divided = {group for group, splits in sides.items() if len(splits) > 1}
    placed = {groups[file.scan_id] for file in readable if file.scan_id}
    return Audit(
        findings=findings,
        has_split=has_split,
        labels=_label_counts(findings, has_split),
        conflicts=conflicts,
        leak_free_split=_leak_free_split(readable, groups, conflicts),
        groups=Counter(place.side for place in placed),
        divided_groups=len(divided),
        divided_test_files=sum(
            finding.group_id in divided and finding.file.split == "test" for finding in findings
        ),
    )


class _TrainingIndex:
    """Index of the files that others are compared with: by bytes, scan, twin and patient."""

    def __init__(self, files: Iterable[AuditedFile], twins: Iterable[ScanTwin]) -> None:
        self._by_bytes: dict[str | None, list[AuditedFile]] = defaultdict(list)
        self._by_scan: dict[str | None, list[AuditedFile]] = defaultdict(list)
        self._by_person: dict[str, list[AuditedFile]] = defaultdict(list)
        for file in files:
            self._by_bytes[file.sha256].append(file)
            self._by_scan[file.scan_id].append(file)
            for person in file.persons:
                self._by_person[person].append(file)
        self._best: dict[str, tuple[int, float, str]] = {}
        for twin in twins:
            for scan, other in ((twin.scan_id, twin.other_id), (twin.other_id, twin.scan_id)):
                if other in self._by_scan:
                    rank = (twin.kind.strength, -twin.score, other)
                    self._best[scan] = min(rank, self._best.get(scan, rank))

    def finding(self, file: AuditedFile, group: str) -> Finding:
        """Return the strongest relation of a file to another indexed file."""
        if twin := _another(self._by_bytes.get(file.sha256, ()), file):
            return Finding(file, group, TwinKind.EXACT, twin, 1.0, byte_identical=True)
        if twin := _another(self._by_scan.get(file.scan_id, ()), file):
            return Finding(file, group, TwinKind.EXACT, twin, 1.0)
        if best := self._best.get(file.scan_id or ""):
            strength, negative_score, other = best
            kind = list(TwinKind)[strength]
            return Finding(file, group, kind, self._by_scan[other][0], -negative_score)
        for person in file.persons:
            if twin := _another(self._by_person.get(person, ()), file):
                return Finding(file, group, TwinKind.SAME_PATIENT, twin)
        return Finding(file, group)


def _another(files: Iterable[AuditedFile], file: AuditedFile) -> AuditedFile | None:
    return next((other for other in files if other is not file), None)


def _label_counts(findings: Iterable[Finding], has_split: bool) -> list[LabelCount]:
    kinds: dict[str, Counter[TwinKind]] = defaultdict(Counter)
    identical: Counter[str] = Counter()
    for finding in findings:
        if finding.file.scan_id and (finding.file.split == "test" or not has_split):
            label = finding.file.label or ""
            kinds[label][finding.twin_in_training] += 1
            identical[label] += finding.byte_identical
    return [
        LabelCount(label, {kind: kinds[label][kind] for kind in AUDIT_KINDS}, identical[label])
        for label in _sorted(kinds)
    ]


def _conflicts(files: Iterable[AuditedFile], twins: Iterable[ScanTwin]) -> Iterator[Conflict]:
    """Yield the conflicts within scans and between twins.

    Within a scan, each file of the more common label conflicts with the first file of the rarer.
    Between twins, one pair of files stands for each pair of labels.
    """
    by_label: dict[str, dict[str, list[AuditedFile]]] = defaultdict(lambda: defaultdict(list))
    for file in files:
        if file.scan_id and file.label:
            by_label[file.scan_id][file.label].append(file)
    for labels in by_label.values():
        for (label, labeled), (other, others) in combinations(labels.items(), 2):
            if contradict(label, other):
                rarer, more_common = sorted((labeled, others), key=len)
                yield from (Conflict(rarer[0], file, TwinKind.EXACT, 1.0) for file in more_common)
    for twin in twins:
        if twin.score < SAME_PICTURE_LIKENESS:
            continue
        for label, labeled in by_label.get(twin.scan_id, {}).items():
            for other, others in by_label.get(twin.other_id, {}).items():
                settled = labeled[0].settled and others[0].settled
                if contradict(label, other) and not settled:
                    yield Conflict(labeled[0], others[0], twin.kind, twin.score)


def _leak_free_split(
    files: Iterable[AuditedFile], groups: Mapping[str, Place], conflicts: Iterable[Conflict]
) -> dict[str, dict[str, int]]:
    held_out = {file.scan_id for c in conflicts for file in (c.first, c.second)}
    labels_of: dict[str, set[str]] = defaultdict(set)
    for file in files:
        if file.scan_id:
            labels_of[file.scan_id] |= {file.label} if file.label else set()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for scan, labels in labels_of.items():
        side = HELD_OUT if scan in held_out else groups[scan].side
        counts[_one_label(labels)][side] += 1
    return {
        label: {side: counts[label][side] for side in (*SIDES, HELD_OUT)}
        for label in _sorted(counts)
    }


def _one_label(labels: set[str]) -> str:
    """Return the most specific label, ``""`` for none, or ``TWO_LABELS`` for a conflict."""
    if any(contradict(first, second) for first, second in combinations(labels, 2)):
        return TWO_LABELS
    return min(labels, key=lambda label: (label not in LABELS[Task.FOUR_CLASS], label), default="")


def _sorted(labels: Iterable[str]) -> list[str]:
    return sorted(labels, key=lambda label: (label in ("", TWO_LABELS), label))
