"""Test answers of a model version: as arrays, and the few that a report shows with heatmaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tumorml.errors import MissingObjectError
from tumorml.evaluation.answers import Answers
from tumorml.explain.shown_answers import ANSWER_COLUMNS, AnswerQuery
from tumorml.labels import NO_TUMOR
from tumorml.objects import ObjectStore
from tumorml.results.tables import Prediction

SHOWN_ERRORS = 18
SHOWN_RIGHT = 8


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """A test answer with its heatmap.

    Attributes:
        overlay: PNG of the scan under its heatmap; None if no heatmap was made or it was deleted.
    """

    scan_id: str
    true_label: str | None
    label: str
    probability: float
    overlay: bytes | None

    @property
    def is_missed_tumor(self) -> bool:
        """A scan with a tumor was predicted ``no_tumor``."""
        return self.label == NO_TUMOR and self.true_label not in (None, NO_TUMOR)


def confusion_counts(answers: Answers) -> NDArray[np.int64]:
    """Count scans by label: int64 [true, predicted]."""
    counts = np.zeros((len(answers.labels), len(answers.labels)), np.int64)
    np.add.at(counts, (answers.known_truth, answers.predicted), 1)
    return counts


def right_samples(run_id: str, model_version_id: str, labels: int) -> AnswerQuery:
    """Select the first right answers of each label that have a heatmap, the labels in turn."""
    turn = func.row_number().over(partition_by=Prediction.label, order_by=Prediction.scan_id)
    return (
        select(*ANSWER_COLUMNS)
        .where(
            Prediction.run_id == run_id,
            Prediction.model_version_id == model_version_id,
            Prediction.label == Prediction.true_label,
            Prediction.heatmap_key.is_not(None),
        )
        .order_by(turn, Prediction.label)
        .limit(max(SHOWN_RIGHT, labels))
    )


def read_shown_answers(
    session: Session, store: ObjectStore, query: AnswerQuery
) -> list[ShownAnswer]:
    """Read the answers that a query selects, with their heatmaps."""
    return [
        ShownAnswer(scan, true, label, probability, _read_overlay(store, key))
        for scan, true, label, probability, key in session.execute(query)
    ]


def _read_overlay(store: ObjectStore, key: str | None) -> bytes | None:
    try:
        return store.read(key) if key else None
    except MissingObjectError:
        return None
