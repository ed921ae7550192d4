"""Tables of snapshots, leaks, runs, epochs, model versions and artifacts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from tumorml.results.tables.base import Base, CreatedAt, Timestamp
from tumorml.results.twin_kinds import LEAK_KINDS

RUN_STATES = ("planned", "training", "trained", "evaluated", "judged", "failed")


class Snapshot(Base):
    """A frozen, content-addressed list of (scan, label, split)."""

    __tablename__ = "snapshot"

    id: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str]
    counts: Mapped[dict[str, Any]]
    """Number of scans by split and label."""
    held_out: Mapped[dict[str, Any]]
    """Number of scans that were left out, by reason."""
    given_split: Mapped[bool] = mapped_column(server_default="false")
    """Whether the split is that of a public data set, not of the groups; for benchmarks only."""
    object_key: Mapped[str]
    created_at: Mapped[CreatedAt]


class SnapshotScan(Base):
    """A scan of a snapshot."""

    __tablename__ = "snapshot_scan"

    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshot.id"), primary_key=True)
    scan_id: Mapped[str] = mapped_column(ForeignKey("scan.id"), primary_key=True, index=True)
    split: Mapped[str] = mapped_column(primary_key=True)
    """Part of the primary key, because a given split may have one scan in two splits."""
    label: Mapped[str]
    group_id: Mapped[str]
    masked: Mapped[bool] = mapped_column(default=False)
    """Whether the scan had a tumor mask."""


class Leak(Base):
    """Number of a run's test scans by closest relation to its training scans and by label.

    Except on a given split, a run fails before training if any kind except ``none`` has scans.
    """

    __tablename__ = "leak"
    __table_args__ = (CheckConstraint(f"kind in {tuple(map(str, LEAK_KINDS))}", name="kind"),)

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    scans: Mapped[int]
    created_at: Mapped[CreatedAt]


class Run(Base):
    """An execution of a recipe on a snapshot."""

    __tablename__ = "run"
    __table_args__ = (
        CheckConstraint(f"state in {RUN_STATES}", name="state"),
        Index("ix_run_snapshot_id_recipe_digest", "snapshot_id", "recipe_digest"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str]
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshot.id"))
    recipe: Mapped[str]
    recipe_text: Mapped[str]
    recipe_digest: Mapped[str]
    seed: Mapped[int]
    epochs: Mapped[int]
    state: Mapped[str] = mapped_column(server_default="planned")
    reason: Mapped[str | None]
    """Why the run failed."""
    trigger: Mapped[str]
    """Origin of the run: an Airflow run id, or ``cli ...``."""
    given_split: Mapped[bool] = mapped_column(server_default="false")
    """Whether the snapshot follows a given split; such a run can never become champion."""
    warm_start_id: Mapped[str | None] = mapped_column(
        ForeignKey("model_version.id", use_alter=True, name="fk_run_warm_start_id_model_version")
    )
    """The champion whose weights training started from."""
    weights_sha256: Mapped[str | None]
    """SHA-256 of the file with the initial weights; null for random weights or a champion's."""
    champion_id: Mapped[str | None] = mapped_column(
        ForeignKey("model_version.id", use_alter=True, name="fk_run_champion_id_model_version")
    )
    """The champion that was evaluated with the run."""
    anchor_id: Mapped[str | None] = mapped_column(
        ForeignKey("model_version.id", use_alter=True, name="fk_run_anchor_id_model_version")
    )
    """The anchor that was evaluated with the run, if it is not the champion."""
    host: Mapped[str | None]
    device: Mapped[str | None]
    libraries: Mapped[dict[str, Any] | None]
    code_version: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    training_started_at: Mapped[Timestamp | None]
    training_finished_at: Mapped[Timestamp | None]
    finished_at: Mapped[Timestamp | None]
    peak_memory_bytes: Mapped[int | None]


class Epoch(Base):
    """A finished epoch of a run, numbered from 1 over all phases."""

    __tablename__ = "epoch"

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    phase: Mapped[str]
    loss: Mapped[float]
    accuracy: Mapped[float]
    validation_loss: Mapped[float]
    validation_accuracy: Mapped[float]
    learning_rate: Mapped[float]
    seconds: Mapped[float]
    peak_memory_bytes: Mapped[int]
    created_at: Mapped[CreatedAt]


class ModelVersion(Base):
    """The trained model of a run, which never changes."""

    __tablename__ = "model_version"

    id: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), unique=True)
    task: Mapped[str]
    labels: Mapped[list[Any]]
    input_size: Mapped[int]
    parameters: Mapped[int]
    object_key: Mapped[str]
    """Folder ``models/<id>`` of the object store."""
    sha256: Mapped[str]
    """SHA-256 of ``model.keras``."""
    size_bytes: Mapped[int]
    description_sha256: Mapped[str | None]
    """SHA-256 of ``model.json``; null for old model versions."""
    preprocessing: Mapped[str | None]
    """Name of the preprocessing of scans."""
    temperature: Mapped[float | None]
    """Temperature that divides the logits, fitted on validation."""
    operating_point: Mapped[float | None]
    """Minimum probability at which a binary model predicts ``tumor``; null for other models."""
    given_split: Mapped[bool] = mapped_column(server_default="false")
    created_at: Mapped[CreatedAt]


class Artifact(Base):
    """A file in the object store."""

    __tablename__ = "artifact"

    object_key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    """``model``, ``report``, ``report_pdf``, ``deck`` or ``model_card``; per scan ``heatmap`` or
    ``feature_maps``."""
    media_type: Mapped[str]
    size_bytes: Mapped[int]
    sha256: Mapped[str]
    run_id: Mapped[str | None] = mapped_column(ForeignKey("run.id"), index=True)
    model_version_id: Mapped[str | None] = mapped_column(ForeignKey("model_version.id"))
    scan_id: Mapped[str | None] = mapped_column(ForeignKey("scan.id"))
    created_at: Mapped[CreatedAt]
