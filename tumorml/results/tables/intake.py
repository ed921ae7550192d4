"""Tables of ingest: batches, files, scans, labels, twins and groups."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tumorml.results.tables.base import Base, CreatedAt, Timestamp

BATCH_STATES = ("waiting", "ingested", "quarantined")
FILE_OUTCOMES = ("taken_in", "duplicate", "refused", "companion")


class Batch(Base):
    """A claimed drop, with its state and validation result."""

    __tablename__ = "batch"
    __table_args__ = (
        UniqueConstraint("drop_name", "fingerprint"),
        CheckConstraint(f"state in {BATCH_STATES}", name="state"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    drop_name: Mapped[str]
    fingerprint: Mapped[str]
    """SHA-256 of the claimed listing: names, sizes and versions of the files."""
    state: Mapped[str] = mapped_column(server_default="waiting")
    reason: Mapped[str | None]
    """Why the whole batch was quarantined."""
    claimed_at: Mapped[CreatedAt]
    finished_at: Mapped[Timestamp | None]
    seconds: Mapped[float | None]
    """Time to ingest the batch, in seconds, summed over the workers that read its shards."""
    peak_memory_bytes: Mapped[int | None]
    """Highest peak memory of any worker, in bytes."""
    validation: Mapped[dict[str, Any] | None]
    """Result of each expectation: severity, success and number of unexpected files."""
    warnings: Mapped[int] = mapped_column(server_default="0")
    """Number of failed expectations of severity ``warning``."""
    data_docs_key: Mapped[str | None]


class Scan(Base):
    """A 2-D grayscale image. Its id is the SHA-256 of its canonical pixels."""

    __tablename__ = "scan"

    id: Mapped[str] = mapped_column(primary_key=True)
    width: Mapped[int]
    height: Mapped[int]
    mean: Mapped[float]
    deviation: Mapped[float]
    entropy: Mapped[float]
    """Shannon entropy of the gray levels, in bits, 0 to 8."""
    foreground_share: Mapped[float]
    object_key: Mapped[str]
    batch_id: Mapped[str] = mapped_column(ForeignKey("batch.id"), index=True)
    """The first batch that contained the scan."""
    created_at: Mapped[CreatedAt]


class BatchFile(Base):
    """A dropped file and its outcome."""

    __tablename__ = "batch_file"
    __table_args__ = (CheckConstraint(f"outcome in {FILE_OUTCOMES}", name="outcome"),)

    batch_id: Mapped[str] = mapped_column(ForeignKey("batch.id"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    """Path inside the drop; bytes that are not UTF-8 are written as ``\\xNN``."""
    outcome: Mapped[str]
    """``taken_in``, ``duplicate``, ``refused``, or ``companion`` (a manifest or a mask)."""
    reason: Mapped[str | None]
    size_bytes: Mapped[int | None]
    sha256: Mapped[str | None]
    """SHA-256 of the file's bytes; null for a file that could not be read."""
    object_key: Mapped[str | None]
    """Object key of the original file; ``archive.zip!/member`` for a member of an archive."""
    scan_id: Mapped[str | None] = mapped_column(ForeignKey("scan.id"), index=True)
    label: Mapped[str | None]
    patient_id: Mapped[str | None]
    study_id: Mapped[str | None]
    site: Mapped[str | None]
    acquired_at: Mapped[str | None]
    given_split: Mapped[str | None]
    """``train`` or ``test`` if the drop came with a split; used in benchmark mode only."""
    attributes: Mapped[dict[str, Any] | None]
    """Other columns of the file's manifest row, by name, for instance ``plane``."""
    mask_key: Mapped[str | None]
    mode: Mapped[str | None]
    format: Mapped[str | None]
    warnings: Mapped[list[Any] | None]
    """Names of the expectations of severity ``warning`` that the file failed."""


class ScanLabel(Base):
    """A label of a scan from a batch. Different labels of one scan may be a conflict."""

    __tablename__ = "scan_label"

    scan_id: Mapped[str] = mapped_column(ForeignKey("scan.id"), primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    batch_id: Mapped[str] = mapped_column(ForeignKey("batch.id"))
    """The first batch with this label."""
    created_at: Mapped[CreatedAt]


class ScanGroup(Base):
    """The group of a scan, and its side, which never changes."""

    __tablename__ = "scan_group"
    __table_args__ = (
        CheckConstraint("side in ('train', 'validation', 'test')", name="side"),
        Index("ix_scan_group_group_id", "group_id"),
    )

    scan_id: Mapped[str] = mapped_column(ForeignKey("scan.id"), primary_key=True)
    group_id: Mapped[str]
    side: Mapped[str]
    held_out: Mapped[bool] = mapped_column(server_default="false")
    """Whether the scan is excluded, because its group also has scans on an earlier side."""
    created_at: Mapped[CreatedAt]


class Fingerprint(Base):
    """Features of a scan that identify its re-encoded, resized and mirrored copies."""

    __tablename__ = "fingerprint"
    __table_args__ = (
        Index("ix_fingerprint_new", "scan_id", postgresql_where="compared_at is null"),
    )

    scan_id: Mapped[str] = mapped_column(ForeignKey("scan.id"), primary_key=True)
    version: Mapped[int]
    """Version of the algorithm; fingerprints of different versions are not compared."""
    keys: Mapped[bytes | None]
    """int8 [2, 42]. Null, like ``grids`` and ``thumbnail``, for a picture without a head."""
    grids: Mapped[bytes | None]
    """int8 [2, 16, 16]."""
    thumbnail: Mapped[bytes | None]
    """uint8 [height, width]."""
    height: Mapped[int | None]
    """Height of the thumbnail, in pixels."""
    compared_at: Mapped[Timestamp | None]
    """Time at which the scan was compared with the others; null for a new scan."""


class Twin(Base):
    """Two scans that show the same or nearly the same picture, confirmed on pixels."""

    __tablename__ = "twin"
    __table_args__ = (CheckConstraint("scan_id < other_id", name="order"),)

    scan_id: Mapped[str] = mapped_column(ForeignKey("scan.id"), primary_key=True)
    other_id: Mapped[str] = mapped_column(ForeignKey("scan.id"), primary_key=True, index=True)
    kind: Mapped[str]
    """``reencoded``, ``mirrored`` (or turned), or ``similar`` (adjacent slice, or crop)."""
    score: Mapped[float]
    """Mean local correlation of the aligned heads, up to 1."""
    orientation: Mapped[int]
    """Orientation of the other scan that matches: 0 to 3 quarter turns, 4 to 7 also mirrored."""
    created_at: Mapped[CreatedAt]


class LabelDecision(Base):
    """A person's decision on the label of a scan. The newest decision counts."""

    __tablename__ = "label_decision"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    scan_id: Mapped[str] = mapped_column(ForeignKey("scan.id"), index=True)
    label: Mapped[str]
    reason: Mapped[str]
    who: Mapped[str]
    created_at: Mapped[CreatedAt]


class GroupTie(Base):
    """A merge of two groups, with the evidence for it."""

    __tablename__ = "group_tie"

    kept_group_id: Mapped[str] = mapped_column(primary_key=True)
    merged_group_id: Mapped[str] = mapped_column(primary_key=True)
    kept_side: Mapped[str]
    merged_side: Mapped[str]
    evidence: Mapped[str]
    """For instance ``patient delft/p-17`` or ``mirrored twins ab12... and cd34..., score 0.98``."""
    scan_id: Mapped[str | None] = mapped_column(ForeignKey("scan.id"))
    """Together with ``other_id``, the twins that caused the merge; null if ids caused it."""
    other_id: Mapped[str | None] = mapped_column(ForeignKey("scan.id"))
    score: Mapped[float | None]
    created_at: Mapped[CreatedAt]
