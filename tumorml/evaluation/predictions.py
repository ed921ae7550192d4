"""Read and write rows of the table ``prediction``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import ARRAY, Float, Text, cast, func, insert, literal, select, text
from sqlalchemy.orm import Session

from tumorml.evaluation.answers import Answers
from tumorml.labels import Task
from tumorml.results.bulk import copy_rows
from tumorml.results.tables import Prediction

_MOST_INSERTED_ROWS = 100
"""More rows than this are copied; a COPY creates and drops a temporary table."""
_ROWS_AT_ONCE = 20_000


def read_answers(
    session: Session, run_id: str, model_version_id: str, labels: Sequence[str]
) -> Answers:
    """Read a model version's answers about the test scans of a run, ordered by scan id.

    Args:
        session: On the results store; read-only is enough.
        run_id: The run that was evaluated.
        model_version_id: The challenger, the champion or the anchor of that run.
        labels: Names of the classes, in the order of the class indices.

    Returns:
        The answers with their truth; zero answers if the run was not evaluated.

    Raises:
        ValueError: An answer has a label that is not among ``labels``, or no truth.
    """
    names = literal(list(labels), ARRAY(Text))
    rows = session.execute(
        select(
            Prediction.scan_id,
            func.array_position(names, Prediction.true_label) - 1,
            func.array_position(names, Prediction.label) - 1,
            *(cast(Prediction.probabilities[label].astext, Float) for label in labels),
        )
        .where(
            Prediction.run_id == run_id,
            Prediction.model_version_id == model_version_id,
            Prediction.source == "evaluation",
        )
        .order_by(Prediction.scan_id),
        execution_options={"yield_per": _ROWS_AT_ONCE},
    )
    scan_ids: list[str] = []
    numbers = [np.zeros((0, 2 + len(labels)))]
    for part in rows.partitions():
        scan_ids += [row[0] for row in part]
        numbers.append(np.array([tuple(row)[1:] for row in part], np.float64))
    table = np.concatenate(numbers)
    if np.isnan(table).any():
        raise ValueError(f"an answer of {model_version_id} in run {run_id} has no known label")
    return Answers(
        scan_ids=scan_ids,
        labels=labels,
        probabilities=table[:, 2:].astype(np.float32),
        predicted=table[:, 1].astype(np.int64),
        truth=table[:, 0].astype(np.int64),
    )


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
    serving_columns: Sequence[Mapping[str, Any]] | None = None,
) -> int:
    """Write one ``prediction`` row for each answer.

    Args:
        session: On the results store, as a role that can write.
        answers: n answers.
        task: The task.
        model_version_id: The model version that answered.
        run_id: The run whose evaluation this is, or None.
        source: ``evaluation``, ``score`` or ``api``.
        created_at: Time of all n rows; its month's partition is created if it is missing.
        heatmap_keys: n object keys, None where a scan has no heatmap.
        serving_columns: n dicts with the columns that only the API and scoring fill, by name.

    Returns:
        The number of rows written.
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
            **({} if serving_columns is None else serving_columns[index]),
        }

    rows = (row(index) for index in range(len(answers.scan_ids)))
    if len(answers.scan_ids) > _MOST_INSERTED_ROWS:
        return copy_rows(session, Prediction, rows)
    inserted = list(rows)
    if inserted:
        session.execute(insert(Prediction), inserted)
    return len(inserted)
