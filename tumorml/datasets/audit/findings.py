"""What an audit of a set of scans says: of each file, of each label, and of the whole."""

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
        split: ``train`` or ``test`` where the set says so.
        label: What it is said to show, if anything.
        sha256: Of the file's bytes.
        scan_id: Of its canonical pixels; None where it could not be read.
        exif_person: Whether its metadata has a field that may name a person.
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
    """Two scans, by id, that show the same picture, or nearly (``find_twins``)."""

    scan_id: str
    other_id: str
    kind: TwinKind
    score: float


@dataclass(frozen=True, slots=True)
class Place:
    """A scan's group and side: as an honest split would draw it, or as the service did."""

    group_id: str
    side: str


@dataclass(frozen=True, slots=True)
class ComparedSet:
    """A set of which everything is known that an audit sums up.

    Attributes:
        name: What people call it.
        files: Everything that is no companion (mask, manifest, system file), in the set's order.
        twins: Pairs of different scans, each pair once.
        places: The place of each scan, by its id.
        companions: How many files were passed over because they accompany scans.
        notes: Sentences about how the set was understood.
    """

    name: str
    files: Sequence[AuditedFile]
    twins: Sequence[ScanTwin]
    places: Mapping[str, Place]
    companions: int = 0
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What the audit says about one file.

    ``twin_in_training`` is one of ``AUDIT_KINDS``. In a set with its own split, only test files
    have a twin searched for them; all others are ``none``. In a set without a split, each file is
    compared with the rest of the set.
    """

    file: AuditedFile
    group_id: str = ""
    twin_in_training: TwinKind = TwinKind.NONE
    twin: AuditedFile | None = None
    score: float | None = None
    byte_identical: bool = False


@dataclass(frozen=True, slots=True)
class LabelCount:
    """How many asked files of one label are tied to training, by kind."""

    label: str
    kinds: Mapping[TwinKind, int]
    byte_identical: int

    @property
    def total(self) -> int:
        """All asked files of the label."""
        return sum(self.kinds.values())

    @property
    def with_twin(self) -> int:
        """Those with a twin of any kind; a shared patient alone is none."""
        return sum(self.kinds[kind] for kind in TWIN_KINDS)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two files that show one picture under labels that cannot both be right."""

    first: AuditedFile
    second: AuditedFile
    kind: TwinKind
    score: float


@dataclass(frozen=True, slots=True)
class Audit:
    """Everything that the terminal, the page and the CSV say.

    Attributes:
        findings: One for each file, in the set's order.
        has_split: Whether the set has training and test files of its own.
        labels: Counts for each label of the asked files; ``""`` for those without one.
        conflicts: Pictures with two labels.
        honest: Scans by label and side, or ``held_out``, if groups drew their sides.
        groups: Groups by the side that they draw.
        torn_groups: Groups with files in the set's own training and test parts.
        torn_files: Test files in such groups, tied to training directly or through others.
    """

    findings: Sequence[Finding]
    has_split: bool
    labels: Sequence[LabelCount]
    conflicts: Sequence[Conflict]
    honest: Mapping[str, Mapping[str, int]]
    groups: Mapping[str, int]
    torn_groups: int
    torn_files: int

    @property
    def whole(self) -> LabelCount:
        """The counts of all labels together."""
        return LabelCount(
            "all",
            {kind: sum(count.kinds[kind] for count in self.labels) for kind in AUDIT_KINDS},
            sum(count.byte_identical for count in self.labels),
        )

    @property
    def readable(self) -> list[AuditedFile]:
        """The files that are images."""
        return [finding.file for finding in self.findings if finding.file.scan_id]

    @property
    def unreadable(self) -> list[AuditedFile]:
        """The files that are not, or that were left out; each has a reason."""
        return [finding.file for finding in self.findings if not finding.file.scan_id]

    @property
    def naming_persons(self) -> list[AuditedFile]:
        """The files whose metadata may name a person."""
        return [finding.file for finding in self.findings if finding.file.exif_person]

    @property
    def scans(self) -> int:
        """How many different pictures there are; exact copies are one."""
        return len({file.scan_id for file in self.readable})

    @property
    def leaks(self) -> bool:
        """Whether its split is not honest, or an ordinary one would not be."""
        whole = self.whole
        return bool(whole.with_twin or (self.has_split and whole.kinds[TwinKind.SAME_PATIENT]))

    @property
    def verdict(self) -> str:
        """The audit in one or two sentences."""
        whole = self.whole
        share = f"{whole.with_twin / whole.total:.1%}".replace("%", " %")
        some = f"{whole.with_twin:,} of {whole.total:,}"
        patients = whole.kinds[TwinKind.SAME_PATIENT]
        more = f" {patients:,} more" if whole.with_twin else f" But {patients:,}"
        if self.has_split:
            said = (
                f"{some} test images ({share}) have a twin in training: a score on this test set "
                "rewards memory."
                if whole.with_twin
                else f"None of the {whole.total:,} test images has a twin in training."
            )
            come = "comes" if patients == 1 else "come"
            more += f" {come} from a patient who is in training, too."
        else:
            said = "The set has no split of its own. " + (
                f"{some} images ({share}) have a twin elsewhere in it: drawn image by image, "
                "a test set would leak."
                if whole.with_twin
                else f"None of its {whole.total:,} images has a twin elsewhere in it."
            )
            have = "has" if patients == 1 else "have"
            more += f" {have} a patient in common with another image."
        return said + (more if patients else "")
