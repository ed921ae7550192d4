"""The test answers that are shown with their heatmaps."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tumorml.errors import MissingObjectError
from tumorml.explain.chosen import COLUMNS, AnswerQuery
from tumorml.labels import NO_TUMOR
from tumorml.objects import ObjectStore
from tumorml.results.tables import Prediction

SHOWN_ERRORS = 18
SHOWN_RIGHT = 8


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """A test answer with its picture; ``overlay`` is None where none was made or it is gone."""

    scan_id: str
    true_label: str | None
    label: str
    probability: float
    overlay: bytes | None

    @property
    def missed(self) -> bool:
        """Whether a tumour was called ``no_tumor``."""
        return self.label == NO_TUMOR and self.true_label not in (None, NO_TUMOR)


def right_samples(run_id: str, model: str, labels: int) -> AnswerQuery:
    """The first answers of each label whose overlay was made, the labels in turn."""
    turn = func.row_number().over(partition_by=Prediction.label, order_by=Prediction.scan_id)
    return (
        select(*COLUMNS)
        .where(
            Prediction.run_id == run_id,
            Prediction.model_version_id == model,
            Prediction.label == Prediction.true_label,
            Prediction.heatmap_key.is_not(None),
        )
        .order_by(turn, Prediction.label)
        .limit(max(SHOWN_RIGHT, labels))
    )


def read_shown(session: Session, store: ObjectStore, query: AnswerQuery) -> list[ShownAnswer]:
    """What a query finds, with overlays."""
    return [
        ShownAnswer(scan, true, label, probability, _overlay(store, key))
        for scan, true, label, probability, key in session.execute(query)
    ]


def _overlay(store: ObjectStore, key: str | None) -> bytes | None:
    try:
        return store.read(key) if key else None
    except MissingObjectError:
        return None
