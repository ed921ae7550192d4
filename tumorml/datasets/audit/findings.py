"""Data classes of an audit: its input files and twins, and its findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tumorml.results.twin_kinds import AUDIT_KINDS, TWIN_KINDS, TwinKind

TWO_LABELS = "two labels"
HELD_OUT = "held_out"


@dataclass(frozen=True, slots=True)
class AuditedFile:
    """One file of the set.

    Attributes:
        path: Its path in the set.
        split: ``train`` or ``test``; None in a set without a split.
        label: Its label, if it has one.
        sha256: SHA-256 of the file's bytes.
        scan_id: Id of its scan; None for a file that could not be read.
        exif_person: Whether its metadata has a field that may identify a person.
        persons: Keys of its patient and study (``tumorml.datasets.grouping.patients``).
        reason: Why it could not be read.
        settled: Whether a person settled its label.
    """

    path: str
    split: str | None = None
    label: str | None = None
    sha256: str | None = None
    scan_id: str | None = None
    exif_person: bool = False
    persons: tuple[str, ...] = ()
    reason: str | None = None
    settled: bool = False


@dataclass(frozen=True, slots=True)
class ScanTwin:
    """Two scans, by id, that show the same or nearly the same picture (see ``find_twins``)."""

    scan_id: str
    other_id: str
    kind: TwinKind
    score: float


@dataclass(frozen=True, slots=True)
class Place:
    """The group and side of a scan: drawn for an audit, or read from the store."""

    group_id: str
    side: str


@dataclass(frozen=True, slots=True)
class ComparedSet:
    """A set of files with the twins among them: the input of an audit.

    Attributes:
        name: Name of the folder or archive, or ``the store``.
        files: All files but companions (masks, manifests, system files), in the set's order.
        twins: Pairs of different scans, each pair once.
        places: Group and side of each scan, by scan id.
        companions: Number of companions, which are not audited.
        notes: Sentences about how the set was read, for the report.
    """

    name: str
    files: Sequence[AuditedFile]
    twins: Sequence[ScanTwin]
    places: Mapping[str, Place]
    companions: int = 0
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of the audit for one file.

    ``twin_in_training`` is one of ``AUDIT_KINDS``. In a set with its own split, only test files
    are compared with the training files; all others have ``none``. In a set without a split, each
    file is compared with the rest of the set.
    """

    file: AuditedFile
    group_id: str = ""
    twin_in_training: TwinKind = TwinKind.NONE
    twin: AuditedFile | None = None
    score: float | None = None
    byte_identical: bool = False


@dataclass(frozen=True, slots=True)
class LabelCount:
    """Number of audited files of one label, by their closest relation to training."""

    label: str
    kinds: Mapping[TwinKind, int]
    byte_identical: int

    @property
    def total(self) -> int:
        """Number of audited files of the label."""
        return sum(self.kinds.values())

    @property
    def with_twin(self) -> int:
        """Number of files with a twin of any kind; a common patient alone does not count."""
        return sum(self.kinds[kind] for kind in TWIN_KINDS)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two files that show one picture and have labels that exclude each other."""

    first: AuditedFile
    second: AuditedFile
    kind: TwinKind
    score: float


@dataclass(frozen=True, slots=True)
class Audit:
    """The findings of an audit, for the terminal, the HTML page and the CSV.

    Attributes:
        findings: One for each file, in the set's order.
        has_split: Whether the set has training and test files.
        labels: Counts for each label of the audited files; ``""`` stands for no label.
        conflicts: Pictures with two labels.
        leak_free_split: Number of scans by label, then by side or ``held_out``, in a split by
            groups.
        groups: Number of groups by side in that split.
        divided_groups: Number of groups with files in both the training and the test part.
        divided_test_files: Number of test files in such groups, related to training directly or
            through other files.
    """

    findings: Sequence[Finding]
    has_split: bool
    labels: Sequence[LabelCount]
    conflicts: Sequence[Conflict]
    leak_free_split: Mapping[str, Mapping[str, int]]
    groups: Mapping[str, int]
    divided_groups: int
    divided_test_files: int

    @property
    def overall(self) -> LabelCount:
        """The counts over all labels."""
        return LabelCount(
            "all",
            {kind: sum(count.kinds[kind] for count in self.labels) for kind in AUDIT_KINDS},
            sum(count.byte_identical for count in self.labels),
        )

    @property
    def readable(self) -> list[AuditedFile]:
        """Files that could be read as images."""
        return [finding.file for finding in self.findings if finding.file.scan_id]

    @property
    def unreadable(self) -> list[AuditedFile]:
        """Files that could not be read, or were refused; each has a reason."""
        return [finding.file for finding in self.findings if not finding.file.scan_id]

    @property
    def with_personal_metadata(self) -> list[AuditedFile]:
        """Files whose metadata may identify a person."""
        return [finding.file for finding in self.findings if finding.file.exif_person]

    @property
    def scans(self) -> int:
        """Number of different scans; exact copies count once."""
        return len({file.scan_id for file in self.readable})

    @property
    def leaks(self) -> bool:
        """Whether the set's split leaks; without a split, whether a random split would leak."""
        overall = self.overall
        return bool(overall.with_twin or (self.has_split and overall.kinds[TwinKind.SAME_PATIENT]))

    @property
    def verdict(self) -> str:
        """The result in one or two sentences."""
        overall = self.overall
        patients = overall.kinds[TwinKind.SAME_PATIENT]
        share = f"{overall.with_twin / overall.total:.1%}".replace("%", " %")
        counts = f"{overall.with_twin:,} of {overall.total:,}"
        if self.has_split:
            sentence = (
                f"{counts} test images ({share}) have a twin in training: a score on this test set "
                "rewards memorization."
                if overall.with_twin
                else f"None of the {overall.total:,} test images has a twin in training."
            )
            verb = "comes" if patients == 1 else "come"
            relation = f"{verb} from a patient who is in training, too."
        else:
            sentence = "The set has no split of its own. " + (
                f"{counts} images ({share}) have a twin elsewhere in it: a test set drawn image by "
                "image would leak."
                if overall.with_twin
                else f"None of its {overall.total:,} images has a twin elsewhere in it."
            )
            verb = "has" if patients == 1 else "have"
            relation = f"{verb} a patient in common with another image."
        if not patients:
            return sentence
        more = f"{patients:,} more" if overall.with_twin else f"But {patients:,}"
        return f"{sentence} {more} {relation}"
