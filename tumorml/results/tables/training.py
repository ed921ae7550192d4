"""Tables of what was learnt: snapshots, runs, epochs, model versions, artifacts."""

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
    """Scans for each split and label."""
    held_out: Mapped[dict[str, Any]]
    """Scans that were left out, for each reason."""
    given_split: Mapped[bool] = mapped_column(server_default="false")
    """Follows a public set's own folders, not the groups: for benchmarks only."""
    object_key: Mapped[str]
    created_at: Mapped[CreatedAt]


class SnapshotScan(Base):
    """One scan of a snapshot."""

    __tablename__ = "snapshot_scan"

    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshot.id"), primary_key=True)
    scan_id: Mapped[str] = mapped_column(ForeignKey("scan.id"), primary_key=True, index=True)
    split: Mapped[str] = mapped_column(primary_key=True)
    """Part of the key: on a given split one scan can stand on both sides."""
    label: Mapped[str]
    group_id: Mapped[str]
    masked: Mapped[bool] = mapped_column(default=False)
    """Whether a mask of its tumour was known."""


class Leak(Base):
    """How many of a run's test scans have a twin among its training scans, by kind and label.

    On the service's own split every kind but ``none`` is 0, or the run fails before it trains.
    """

    __tablename__ = "leak"
    __table_args__ = (CheckConstraint(f"kind in {tuple(map(str, LEAK_KINDS))}", name="kind"),)

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    scans: Mapped[int]
    created_at: Mapped[CreatedAt]


class Run(Base):
    """One execution of a recipe on a snapshot."""

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
    """What asked for the run: an Airflow run id, or ``cli ...``."""
    given_split: Mapped[bool] = mapped_column(server_default="false")
    """Followed a public set's own split: can never become champion."""
    warm_start_id: Mapped[str | None] = mapped_column(
        ForeignKey("model_version.id", use_alter=True, name="fk_run_warm_start_id_model_version")
    )
    """The champion from whose weights it went on."""
    weights_sha256: Mapped[str | None]
    """Of the file that its weights came from, where they are neither a champion's nor random."""
    champion_id: Mapped[str | None] = mapped_column(
        ForeignKey("model_version.id", use_alter=True, name="fk_run_champion_id_model_version")
    )
    """The champion beside which it was evaluated."""
    anchor_id: Mapped[str | None] = mapped_column(
        ForeignKey("model_version.id", use_alter=True, name="fk_run_anchor_id_model_version")
    )
    """The anchor beside which it was evaluated, where that is another one."""
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
    """One finished epoch of a run, numbered from 1 over all phases."""

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
    """What a run leaves: an immutable artifact with its SHA-256."""

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
    """SHA-256 of ``model.json``; none for a model version of before it was recorded."""
    preprocessing: Mapped[str | None]
    """The name of what turns a scan into the network's input."""
    temperature: Mapped[float | None]
    """What logits are divided by, fitted on validation."""
    operating_point: Mapped[float | None]
    """Of a binary model: the least probability of ``tumor`` that is called one."""
    given_split: Mapped[bool] = mapped_column(server_default="false")
    created_at: Mapped[CreatedAt]


class Artifact(Base):
    """A file in the object store that a row points to."""

    __tablename__ = "artifact"

    object_key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    """``model``, ``report``, ``report_pdf``, ``deck``, ``model_card``; by scan ``heatmap`` and
    ``feature_maps``."""
    media_type: Mapped[str]
    size_bytes: Mapped[int]
    sha256: Mapped[str]
    run_id: Mapped[str | None] = mapped_column(ForeignKey("run.id"), index=True)
    model_version_id: Mapped[str | None] = mapped_column(ForeignKey("model_version.id"))
    scan_id: Mapped[str | None] = mapped_column(ForeignKey("scan.id"))
    created_at: Mapped[CreatedAt]
