"""Which of a run's test answers are shown with a heatmap: those alone get one."""

from __future__ import annotations

from sqlalchemy import Select, and_, func, select

from tumorml.labels import NO_TUMOR
from tumorml.results.tables import Prediction, Run, SnapshotScan

AnswerQuery = Select[str, str | None, str, float, str | None]
"""Rows of scan, true label, label, probability of that, key of the heatmap."""

COLUMNS = (
    Prediction.scan_id,
    Prediction.true_label,
    Prediction.label,
    Prediction.probability,
    Prediction.heatmap_key,
)


def surest_errors(run: Run, model: str, limit: int) -> AnswerQuery:
    """Missed tumours, then the surest wrong answers: one of each group before any second one.

    The scans of a group are often alike. The first of them are the same, whatever the limit.
    """
    group = func.coalesce(SnapshotScan.group_id, Prediction.scan_id)
    surest = (Prediction.probability.desc(), Prediction.scan_id)
    in_snapshot = and_(
        SnapshotScan.snapshot_id == run.snapshot_id,
        SnapshotScan.scan_id == Prediction.scan_id,
        SnapshotScan.split == "test",
    )
    return (
        select(*COLUMNS)
        .outerjoin(SnapshotScan, in_snapshot)
        .where(
            Prediction.run_id == run.id,
            Prediction.model_version_id == model,
            Prediction.label != Prediction.true_label,
        )
        .order_by(
            Prediction.label != NO_TUMOR,
            func.row_number().over(partition_by=group, order_by=surest),
            *surest,
        )
        .limit(limit)
    )


def first_right(run: Run, model: str, per_label: int) -> AnswerQuery:
    """The first right answers of each label in the order of scan ids, the labels in turn."""
    turn = func.row_number().over(partition_by=Prediction.label, order_by=Prediction.scan_id)
    right = (
        select(*COLUMNS, turn.label("turn"))
        .where(
            Prediction.run_id == run.id,
            Prediction.model_version_id == model,
            Prediction.label == Prediction.true_label,
        )
        .subquery()
    )
    return (
        select(*(right.c[column.key] for column in COLUMNS))
        .where(right.c.turn <= per_label)
        .order_by(right.c.turn, right.c.label)
    )
