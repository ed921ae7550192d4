"""Predictions as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from tumorml.evaluation.answers import Answers
from tumorml.labels import Task
from tumorml.results.bulk import copy_rows
from tumorml.results.tables import Prediction

FEW = 100
"""Up to so many rows are inserted as they are; a COPY makes and drops a table."""


def write_predictions(
    session: Session,
    answers: Answers,
    *,
    task: Task,
    model_version_id: str,
    run_id: str | None,
    source: str,
    created_at: datetime,
    heatmap_keys: Sequence[str | None] | None = None,
    further: Sequence[Mapping[str, Any]] | None = None,
) -> int:
    """Write one ``prediction`` row for each answer; all carry ``created_at``.

    ``further`` are columns that only servers fill, for each answer.
    """
    session.execute(text("select ensure_prediction_partition(:moment)"), {"moment": created_at})

    def row(index: int) -> dict[str, Any]:
        label = int(answers.predicted[index])
        return {
            "created_at": created_at,
            "scan_id": answers.scan_ids[index],
            "model_version_id": model_version_id,
            "run_id": run_id,
            "source": source,
            "task": str(task),
            "label": answers.labels[label],
            "probability": float(answers.probabilities[index, label]),
            "probabilities": {
                name: float(value)
                for name, value in zip(answers.labels, answers.probabilities[index], strict=True)
            },
            "true_label": None
            if answers.truth is None
            else answers.labels[int(answers.truth[index])],
            "heatmap_key": None if heatmap_keys is None else heatmap_keys[index],
            **({} if further is None else further[index]),
        }

    rows = (row(index) for index in range(len(answers.scan_ids)))
    if len(answers.scan_ids) > FEW:
        return copy_rows(session, Prediction, rows)
    few = list(rows)
    if few:
        session.execute(insert(Prediction), few)
    return len(few)
