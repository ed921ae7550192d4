"""Tables of what came in: batches, their files, scans and labels."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tumorml.results.tables.base import Base, CreatedAt, Timestamp

BATCH_STATES = ("waiting", "ingested", "quarantined")
FILE_OUTCOMES = ("taken_in", "duplicate", "refused", "companion")


class Batch(Base):
    """A drop that the service has taken in: one row, one validation result."""

    __tablename__ = "batch"
    __table_args__ = (
        UniqueConstraint("drop_name", "fingerprint"),
        CheckConstraint(f"state in {BATCH_STATES}", name="state"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    drop_name: Mapped[str]
    fingerprint: Mapped[str]
    """SHA-256 of the listing (names, sizes, versions) that was claimed."""
    state: Mapped[str] = mapped_column(server_default="waiting")
    reason: Mapped[str | None]
    """Why the whole batch was quarantined."""
    claimed_at: Mapped[CreatedAt]
    finished_at: Mapped[Timestamp | None]
    seconds: Mapped[float | None]
    """What taking it in took, in seconds, together over the workers that read its shards."""
    peak_memory_bytes: Mapped[int | None]
    """Of the worker that needed most."""
    validation: Mapped[dict[str, Any] | None]
    """Each expectation with its severity, success and number of unexpected files."""
    warnings: Mapped[int] = mapped_column(server_default="0")
    """How many expectations of severity ``warning`` failed."""
    data_docs_key: Mapped[str | None]


class Scan(Base):
    """One 2-D greyscale image; its id is the SHA-256 of its canonical pixels."""

    __tablename__ = "scan"

    id: Mapped[str] = mapped_column(primary_key=True)
    width: Mapped[int]
    height: Mapped[int]
    mean: Mapped[float]
    deviation: Mapped[float]
    entropy: Mapped[float]
    """Shannon entropy of the grey levels, in bits, 0 to 8."""
    foreground_share: Mapped[float]
    object_key: Mapped[str]
    batch_id: Mapped[str] = mapped_column(ForeignKey("batch.id"), index=True)
    """The batch that brought the scan first."""
    created_at: Mapped[CreatedAt]


class BatchFile(Base):
    """One file that was dropped, and what became of it."""

    __tablename__ = "batch_file"
    __table_args__ = (CheckConstraint(f"outcome in {FILE_OUTCOMES}", name="outcome"),)

    batch_id: Mapped[str] = mapped_column(ForeignKey("batch.id"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    """Path inside the drop, as dropped; bytes that are not UTF-8 stand as ``\\xNN``."""
    outcome: Mapped[str]
    """``taken_in``, ``duplicate``, ``refused``, or ``companion`` (a manifest or a mask)."""
    reason: Mapped[str | None]
    size_bytes: Mapped[int | None]
    sha256: Mapped[str | None]
    """SHA-256 of the file's bytes, where they could be read."""
    object_key: Mapped[str | None]
    """Where the original lies now; ``archive.zip!/member`` for a member of an archive."""
    scan_id: Mapped[str | None] = mapped_column(ForeignKey("scan.id"), index=True)
    label: Mapped[str | None]
    patient_id: Mapped[str | None]
    study_id: Mapped[str | None]
    site: Mapped[str | None]
    acquired_at: Mapped[str | None]
    given_split: Mapped[str | None]
    """``train`` or ``test`` where the drop says so; followed in benchmark mode only."""
    attributes: Mapped[dict[str, Any] | None]
    """What else its row of the manifest says, by column, for instance ``plane``."""
    mask_key: Mapped[str | None]
    mode: Mapped[str | None]
    format: Mapped[str | None]
    warnings: Mapped[list[Any] | None]
    """Names of the warning expectations that this file failed."""


class ScanLabel(Base):
    """A label that a batch gave a scan; two different ones are a conflict."""

    __tablename__ = "scan_label"

    scan_id: Mapped[str] = mapped_column(ForeignKey("scan.id"), primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    batch_id: Mapped[str] = mapped_column(ForeignKey("batch.id"))
    """The first batch that gave this label."""
    created_at: Mapped[CreatedAt]


class ScanGroup(Base):
    """The group of a scan, and the side that it was given once, for ever."""

    __tablename__ = "scan_group"
    __table_args__ = (
        CheckConstraint("side in ('train', 'validation', 'test')", name="side"),
        Index("ix_scan_group_group_id", "group_id"),
    )

    scan_id: Mapped[str] = mapped_column(ForeignKey("scan.id"), primary_key=True)
    group_id: Mapped[str]
    side: Mapped[str]
    held_out: Mapped[bool] = mapped_column(server_default="false")
    """A test or validation scan that a tie connects to an earlier side: never used again."""
    created_at: Mapped[CreatedAt]


class Fingerprint(Base):
    """What is kept of a scan to know it again however it was re-encoded, resized or mirrored."""

    __tablename__ = "fingerprint"
    __table_args__ = (
        Index("ix_fingerprint_new", "scan_id", postgresql_where="compared_at is null"),
    )

    scan_id: Mapped[str] = mapped_column(ForeignKey("scan.id"), primary_key=True)
    version: Mapped[int]
    """Of the way it was made; two of different versions are not compared."""
    keys: Mapped[bytes | None]
    """int8 [2, 42]; null where no head stands out, and for ``grids`` and ``thumbnail`` then too."""
    grids: Mapped[bytes | None]
    """int8 [2, 16, 16]."""
    thumbnail: Mapped[bytes | None]
    """uint8 [height, width]."""
    height: Mapped[int | None]
    """Of the thumbnail, in pixels."""
    compared_at: Mapped[Timestamp | None]
    """Since when the scan's twins are known; null for a new one."""


class Twin(Base):
    """Two scans that show the same picture, or nearly; confirmed on their pixels."""

    __tablename__ = "twin"
    __table_args__ = (CheckConstraint("scan_id < other_id", name="order"),)

    scan_id: Mapped[str] = mapped_column(ForeignKey("scan.id"), primary_key=True)
    other_id: Mapped[str] = mapped_column(ForeignKey("scan.id"), primary_key=True, index=True)
    kind: Mapped[str]
    """``reencoded``, ``mirrored`` (or turned), or ``similar`` (the next slice, or cut)."""
    score: Mapped[float]
    """Mean local correlation of the aligned heads, up to 1."""
    orientation: Mapped[int]
    """How the other is turned to lie on the scan: 0 as it is, 1-3 quarter turns, 4-7 mirrored."""
    created_at: Mapped[CreatedAt]


class LabelDecision(Base):
    """What a person settled a scan's label to be; the newest of a scan counts."""

    __tablename__ = "label_decision"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    scan_id: Mapped[str] = mapped_column(ForeignKey("scan.id"), index=True)
    label: Mapped[str]
    reason: Mapped[str]
    who: Mapped[str]
    created_at: Mapped[CreatedAt]


class GroupTie(Base):
    """Why two groups became one: the evidence, so that a person can look."""

    __tablename__ = "group_tie"

    kept_group_id: Mapped[str] = mapped_column(primary_key=True)
    merged_group_id: Mapped[str] = mapped_column(primary_key=True)
    kept_side: Mapped[str]
    merged_side: Mapped[str]
    evidence: Mapped[str]
    """For instance ``patient delft/p-17`` or ``mirrored twins ab12... and cd34..., score 0.98``."""
    scan_id: Mapped[str | None] = mapped_column(ForeignKey("scan.id"))
    """With ``other_id`` the pair of twins that caused it, where ids did not."""
    other_id: Mapped[str | None] = mapped_column(ForeignKey("scan.id"))
    score: Mapped[float | None]
    created_at: Mapped[CreatedAt]
