"""Tables of what was concluded: evaluations, predictions, verdicts, champions."""

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
    """One metric of one model version on one slice of a run's snapshot, with its interval."""

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
    """How many scans the number rests on."""
    created_at: Mapped[CreatedAt]


class Prediction(Base):
    """One answer of one model version about one scan; partitioned by month."""

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
    """Of a scan that was only asked about there is no row ``scan``."""
    model_version_id: Mapped[str] = mapped_column(ForeignKey("model_version.id"))
    run_id: Mapped[str | None] = mapped_column(ForeignKey("run.id"))
    """The run whose evaluation asked; none when the champion scored a new scan."""
    source: Mapped[str]
    task: Mapped[str]
    label: Mapped[str]
    """The predicted label: the most probable one, or what a binary model's operating point says."""
    probability: Mapped[float]
    probabilities: Mapped[dict[str, Any]]
    true_label: Mapped[str | None]
    heatmap_key: Mapped[str | None]
    caller: Mapped[str | None]
    """Who asked a server."""
    possible_labels: Mapped[list[Any] | None]
    """Those that may be right at ``confidence``."""
    confidence: Mapped[float | None]
    distance: Mapped[float | None]
    """From what the network learnt from, 0 to 2."""
    unlike: Mapped[bool | None]
    """Whether that is farther than nearly all validation scans; null where these were few."""


class TestSet(Base):
    """One version of a task's test set: every comparison on it is a look, and looks are counted."""

    __tablename__ = "test_set"
    __table_args__ = (UniqueConstraint("task", "version"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str]
    version: Mapped[int]
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshot.id"))
    """The snapshot whose test groups founded it."""
    groups: Mapped[int]
    created_at: Mapped[CreatedAt]


class Verdict(Base):
    """The outcome of one judgement, with the policy that it followed."""

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
    """The champion that was challenged; none for the first model."""
    outcome: Mapped[str]
    reason: Mapped[str]
    policy_text: Mapped[str]
    policy_sha256: Mapped[str]
    anchor_id: Mapped[str | None] = mapped_column(ForeignKey("model_version.id"))
    """The first or newest authorised champion, which the challenger may not fall behind either."""
    test_set_id: Mapped[str | None] = mapped_column(ForeignKey("test_set.id"))
    look: Mapped[int | None]
    """The number of this comparison on its test set, from 1; none where nothing was compared."""
    look_alpha: Mapped[float | None]
    """The chance of error that this look was given."""
    approval: Mapped[str | None]
    """None where no person is asked, else ``waiting``, ``approved`` or ``rejected``."""
    approval_reason: Mapped[str | None]
    """Why a person is asked."""
    approval_by: Mapped[str | None]
    approval_why: Mapped[str | None]
    approval_at: Mapped[Timestamp | None]
    created_at: Mapped[CreatedAt]


class VerdictRule(Base):
    """One rule of a verdict, with its numbers."""

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
    """Of the one-sided bounds."""
    p_value: Mapped[float | None]
    scans: Mapped[int]
    groups: Mapped[int]
    explanation: Mapped[str]


class Champion(Base):
    """History of who served; the open row is the champion of its task."""

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
    """What asked for a change by hand, for instance an Airflow run: the same asks only once."""
    pinned: Mapped[bool] = mapped_column(server_default="false")
    """A pinned champion keeps its place whatever a challenger does."""


class ApiKey(Base):
    """Who may ask a server; the key itself is never stored."""

    __tablename__ = "api_key"
    __table_args__ = (CheckConstraint("role in ('reader', 'writer')", name="role"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    """Of the key, which is 256 random bits."""
    role: Mapped[str]
    """``reader`` sees what was answered; ``writer`` may also ask."""
    created_at: Mapped[CreatedAt]
    revoked_at: Mapped[Timestamp | None]
