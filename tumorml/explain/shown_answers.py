"""Queries for the test answers of a run that get a heatmap."""

from __future__ import annotations

from sqlalchemy import Select, and_, func, select

from tumorml.labels import NO_TUMOR
from tumorml.results.tables import Prediction, Run, SnapshotScan

AnswerQuery = Select[str, str | None, str, float, str | None]
"""Rows of scan id, true label, predicted label, its probability, and key of the heatmap."""

ANSWER_COLUMNS = (
    Prediction.scan_id,
    Prediction.true_label,
    Prediction.label,
    Prediction.probability,
    Prediction.heatmap_key,
)


def most_confident_errors(run: Run, model: str, limit: int) -> AnswerQuery:
    """Select missed tumors first, then the other wrong answers with the highest probability.

    The first answer of every group precedes the second answer of any group, because scans of a
    group are often alike. A larger limit only appends answers.
    """
    group = func.coalesce(SnapshotScan.group_id, Prediction.scan_id)
    by_confidence = (Prediction.probability.desc(), Prediction.scan_id)
    in_snapshot = and_(
        SnapshotScan.snapshot_id == run.snapshot_id,
        SnapshotScan.scan_id == Prediction.scan_id,
        SnapshotScan.split == "test",
    )
    return (
        select(*ANSWER_COLUMNS)
        .outerjoin(SnapshotScan, in_snapshot)
        .where(
            Prediction.run_id == run.id,
            Prediction.model_version_id == model,
            Prediction.label != Prediction.true_label,
        )
        .order_by(
            Prediction.label != NO_TUMOR,
            func.row_number().over(partition_by=group, order_by=by_confidence),
            *by_confidence,
        )
        .limit(limit)
    )


def first_right_answers(run: Run, model: str, per_label: int) -> AnswerQuery:
    """Select the first right answers of each label by scan id, alternating between labels."""
    turn = func.row_number().over(partition_by=Prediction.label, order_by=Prediction.scan_id)
    right = (
        select(*ANSWER_COLUMNS, turn.label("turn"))
        .where(
            Prediction.run_id == run.id,
            Prediction.model_version_id == model,
            Prediction.label == Prediction.true_label,
        )
        .subquery()
    )
    return (
        select(*(right.c[column.key] for column in ANSWER_COLUMNS))
        .where(right.c.turn <= per_label)
        .order_by(right.c.turn, right.c.label)
    )
