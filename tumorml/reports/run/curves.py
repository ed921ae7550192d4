"""A contender's test answers as arrays, and the curves and counts that come of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve
from sqlalchemy import ARRAY, Float, Text, cast, func, literal, select
from sqlalchemy.orm import Session

from tumorml.evaluation.answers import Answers
from tumorml.results.tables import Prediction

CURVE_POINTS = 400
"""A curve keeps at most so many of its points: more cannot be told apart on a page."""
_ROWS_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class LabelCurves:
    """How one label is told from all others as the threshold moves.

    Attributes:
        label: Which.
        scans: How many of the test scans have it.
        false_positive_rate: float64 [m], the horizontal axis of the ROC curve.
        true_positive_rate: float64 [m], its vertical axis.
        recall: float64 [k], the horizontal axis of the precision-recall curve.
        precision: float64 [k], its vertical axis.
    """

    label: str
    scans: int
    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]


def read_answers(session: Session, run_id: str, model: str, labels: Sequence[str]) -> Answers:
    """What a model version answered in a run; without ids, which no figure needs.

    Some 50 bytes are held for each answer.
    """
    names = literal(list(labels), ARRAY(Text))
    rows = session.execute(
        select(
            func.array_position(names, Prediction.true_label) - 1,
            func.array_position(names, Prediction.label) - 1,
            *(cast(Prediction.probabilities[label].astext, Float) for label in labels),
        ).where(
            Prediction.run_id == run_id,
            Prediction.model_version_id == model,
            Prediction.true_label.is_not(None),
        ),
        execution_options={"yield_per": _ROWS_AT_ONCE},
    )
    parts = [np.array([tuple(row) for row in part], np.float64) for part in rows.partitions()]
    table = np.concatenate([np.zeros((0, 2 + len(labels))), *parts])
    return Answers(
        scan_ids=(),
        labels=labels,
        probabilities=table[:, 2:].astype(np.float32),
        predicted=table[:, 1].astype(np.int64),
        truth=table[:, 0].astype(np.int64),
    )


def confusion_counts(answers: Answers) -> NDArray[np.int64]:
    """Counts of scans, int64 [true, predicted]."""
    counts = np.zeros((len(answers.labels), len(answers.labels)), np.int64)
    np.add.at(counts, (answers.known_truth, answers.predicted), 1)
    return counts


def label_curves(answers: Answers) -> tuple[LabelCurves, ...]:
    """The curves of each label that some scans have and others have not."""
    curves = []
    for index, label in enumerate(answers.labels):
        of_label = answers.known_truth == index
        if not of_label.any() or of_label.all():
            continue
        scores = answers.probabilities[:, index]
        false_positives, true_positives, _ = roc_curve(of_label, scores)
        precision, recall, _ = precision_recall_curve(of_label, scores)
        curves.append(
            LabelCurves(
                label,
                int(of_label.sum()),
                *_thinned(false_positives, true_positives),
                *_thinned(recall, precision),
            )
        )
    return tuple(curves)


def _thinned(*columns: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """At most ``CURVE_POINTS`` of the points, spread evenly, both ends among them."""
    points = len(columns[0])
    kept = np.unique(np.linspace(0, points - 1, min(points, CURVE_POINTS)).round().astype(int))
    return [column[kept] for column in columns]
