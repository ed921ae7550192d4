"""Tables of evaluations, predictions, verdicts, champions and API keys."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    PrimaryKeyConstraint,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from tumorml.results.tables.base import Base, CreatedAt, Timestamp

OUTCOMES = ("promoted", "kept", "insufficient", "rejected")
APPROVALS = ("waiting", "approved", "rejected")


class Evaluation(Base):
    """A metric of a model version on a slice of a run's snapshot, with its interval."""

    __tablename__ = "evaluation"

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    model_version_id: Mapped[str] = mapped_column(ForeignKey("model_version.id"), primary_key=True)
    split: Mapped[str] = mapped_column(primary_key=True)
    metric: Mapped[str] = mapped_column(primary_key=True)
    slice: Mapped[str] = mapped_column(primary_key=True)
    """``all``, ``label=glioma``, or ``true=glioma predicted=pituitary`` for confusion counts."""
    value: Mapped[float | None]
    low: Mapped[float | None]
    high: Mapped[float | None]
    scans: Mapped[int]
    """Number of scans in the slice."""
    created_at: Mapped[CreatedAt]


class Prediction(Base):
    """The prediction of a model version for a scan; partitioned by month."""

    __tablename__ = "prediction"
    __table_args__ = (
        PrimaryKeyConstraint("created_at", "id"),
        CheckConstraint("source in ('evaluation', 'score', 'api')", name="source"),
        Index("ix_prediction_run_id_model_version_id", "run_id", "model_version_id"),
        Index("ix_prediction_scan_id", "scan_id"),
        Index(
            "ix_prediction_caller_created_at",
            "caller",
            "created_at",
            postgresql_where=text("caller is not null"),
        ),
        {"postgresql_partition_by": "RANGE (created_at)"},
    )

    id: Mapped[int] = mapped_column(Identity(always=True))
    created_at: Mapped[CreatedAt]
    scan_id: Mapped[str]
    """Id of the scan. A scan that was only sent to the API has no row in ``scan``."""
    model_version_id: Mapped[str] = mapped_column(ForeignKey("model_version.id"))
    run_id: Mapped[str | None] = mapped_column(ForeignKey("run.id"))
    """The run whose evaluation made the prediction; null for ``score`` and ``api``."""
    source: Mapped[str]
    task: Mapped[str]
    label: Mapped[str]
    """Predicted label: the most probable one; a binary model uses its operating point."""
    probability: Mapped[float]
    probabilities: Mapped[dict[str, Any]]
    true_label: Mapped[str | None]
    heatmap_key: Mapped[str | None]
    caller: Mapped[str | None]
    """Name of the API key that requested the prediction."""
    possible_labels: Mapped[list[Any] | None]
    """Prediction set: the labels that are possible at ``confidence``."""
    confidence: Mapped[float | None]
    distance: Mapped[float | None]
    """Cosine distance of features to the 5th nearest training scan, 0 to 2."""
    unlike: Mapped[bool | None]
    """Whether ``distance`` exceeds that of 99 % of the validation scans; null if they are few."""


class TestSet(Base):
    """A version of a task's test set. Comparisons on it are numbered looks."""

    __tablename__ = "test_set"
    __table_args__ = (UniqueConstraint("task", "version"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str]
    version: Mapped[int]
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshot.id"))
    """The snapshot whose test groups define it."""
    groups: Mapped[int]
    created_at: Mapped[CreatedAt]


class Verdict(Base):
    """The outcome of judging a run, with the policy that was applied."""

    __tablename__ = "verdict"
    __table_args__ = (
        UniqueConstraint("run_id"),
        UniqueConstraint("test_set_id", "look"),
        CheckConstraint(f"outcome in {OUTCOMES}", name="outcome"),
        CheckConstraint(f"approval in {APPROVALS}", name="approval"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"))
    task: Mapped[str]
    challenger_id: Mapped[str] = mapped_column(ForeignKey("model_version.id"))
    champion_id: Mapped[str | None] = mapped_column(ForeignKey("model_version.id"))
    """The champion at that time; null for the first model of a task."""
    outcome: Mapped[str]
    reason: Mapped[str]
    policy_text: Mapped[str]
    policy_sha256: Mapped[str]
    anchor_id: Mapped[str | None] = mapped_column(ForeignKey("model_version.id"))
    """The anchor: the task's first champion, or the newest one that a person authorized."""
    test_set_id: Mapped[str | None] = mapped_column(ForeignKey("test_set.id"))
    look: Mapped[int | None]
    """Number of this comparison on its test set, from 1; null if nothing was compared."""
    look_alpha: Mapped[float | None]
    """Significance level of this look."""
    approval: Mapped[str | None]
    """``waiting``, ``approved`` or ``rejected``; null if no approval is required."""
    approval_reason: Mapped[str | None]
    """Why approval is required."""
    approval_by: Mapped[str | None]
    approval_why: Mapped[str | None]
    approval_at: Mapped[Timestamp | None]
    created_at: Mapped[CreatedAt]


class VerdictRule(Base):
    """The result of one promotion rule in a verdict."""

    __tablename__ = "verdict_rule"
    __table_args__ = (
        CheckConstraint("result in ('passed', 'failed', 'insufficient')", name="result"),
    )

    verdict_id: Mapped[str] = mapped_column(
        ForeignKey("verdict.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    rule: Mapped[str]
    slice: Mapped[str]
    result: Mapped[str]
    challenger_value: Mapped[float | None]
    champion_value: Mapped[float | None]
    difference: Mapped[float | None]
    low: Mapped[float | None]
    high: Mapped[float | None]
    threshold: Mapped[float | None]
    confidence: Mapped[float | None]
    """Confidence level of the one-sided bounds."""
    p_value: Mapped[float | None]
    scans: Mapped[int]
    groups: Mapped[int]
    explanation: Mapped[str]


class Champion(Base):
    """History of champions. The row with ``until`` null is the current champion of its task."""

    __tablename__ = "champion"
    __table_args__ = (
        Index("uq_champion_open", "task", unique=True, postgresql_where=text("until is null")),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    task: Mapped[str]
    model_version_id: Mapped[str] = mapped_column(ForeignKey("model_version.id"))
    since: Mapped[CreatedAt]
    until: Mapped[Timestamp | None]
    change: Mapped[str]
    """``promotion``, ``rollback``, ``pin``, ``unpin``, ``force`` or ``authorise``."""
    who: Mapped[str]
    why: Mapped[str]
    verdict_id: Mapped[str | None] = mapped_column(ForeignKey("verdict.id"))
    request: Mapped[str | None] = mapped_column(unique=True)
    """Origin of a manual change, such as an Airflow run; each request is carried out once."""
    pinned: Mapped[bool] = mapped_column(server_default="false")
    """Whether the champion is pinned; no challenger replaces a pinned champion."""


class ApiKey(Base):
    """An API key. The key itself is not stored."""

    __tablename__ = "api_key"
    __table_args__ = (CheckConstraint("role in ('reader', 'writer')", name="role"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    """SHA-256 of the key, which is 256 random bits."""
    role: Mapped[str]
    """``reader`` can read predictions; ``writer`` can also request them."""
    created_at: Mapped[CreatedAt]
    revoked_at: Mapped[Timestamp | None]
