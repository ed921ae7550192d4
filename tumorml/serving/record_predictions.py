"""Answers as rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from tumorml.evaluation.answers import Answers
from tumorml.evaluation.predictions import write_predictions
from tumorml.objects import ObjectStore
from tumorml.results.artifacts import artifact_row, record_artifacts
from tumorml.results.session import write_session
from tumorml.results.tables import ModelVersion, Run, SnapshotScan
from tumorml.serving.predict_scans import Answer
from tumorml.serving.request_batcher import RequestBatcher
from tumorml.settings import Settings

MOST = 512
"""Answers of one transaction."""


@dataclass(frozen=True, slots=True)
class Record:
    """An answer that is to be written down.

    Attributes:
        answer: What was answered.
        caller: Who asked; none where the service itself did.
        overlay: The row ``artifact`` of its heatmap, where that is in the object store.
    """

    answer: Answer
    caller: str | None = None
    overlay: Mapping[str, object] | None = None


def store_overlay(
    store: ObjectStore, key: str, answer: Answer, data: bytes, *, scan_id: str | None = None
) -> dict[str, object]:
    """Put the overlay of an answer into the object store; its row ``artifact`` is returned.

    Args:
        store: Of the service.
        key: Where it goes.
        answer: What the overlay explains.
        data: The PNG.
        scan_id: Of the row ``scan``, where there is one.
    """
    store.write(key, data)
    return artifact_row("heatmap", key, data, scan_id, answer.live.model_version_id, None)


def records(settings: Settings) -> RequestBatcher[Record, str | None]:
    """What writes down the answers of the API: those that wait together, in one transaction.

    Of each it says which split of the model's own snapshot the scan was in, if in any.
    """

    def write(waiting: Sequence[Record]) -> list[str | None]:
        with write_session(settings) as session:
            record_answers(session, waiting, source="api")
            return _splits(session, waiting)

    return RequestBatcher("records", write, most=MOST)


def record_answers(session: Session, records: Sequence[Record], *, source: str) -> None:
    """Write a row ``prediction`` for each answer, and the artifacts they refer to."""
    # The same picture twice has one overlay. In order, so that two servers wait for each other
    # in one direction alone.
    overlays = {str(one.overlay["object_key"]): one.overlay for one in records if one.overlay}
    record_artifacts(session, [overlays[key] for key in sorted(overlays)])
    together: dict[tuple[str, datetime], list[Record]] = defaultdict(list)
    for record in records:
        answer = record.answer
        together[answer.live.model_version_id, answer.answered_at].append(record)
    for (model_version_id, answered_at), group in together.items():
        answers = [record.answer for record in group]
        live = answers[0].live
        labels = live.served.labels
        write_predictions(
            session,
            Answers(
                [one.scan_id for one in answers],
                labels,
                np.array([[one.probabilities[name] for name in labels] for one in answers]),
                np.array([labels.index(one.label) for one in answers]),
            ),
            task=live.task,
            model_version_id=model_version_id,
            run_id=None,
            source=source,
            created_at=answered_at,
            heatmap_keys=[
                None if record.overlay is None else str(record.overlay["object_key"])
                for record in group
            ],
            further=[
                {
                    "caller": record.caller,
                    "possible_labels": record.answer.possible_labels,
                    "confidence": record.answer.stated_confidence,
                    "distance": record.answer.distance,
                    "unlike": record.answer.unlike,
                }
                for record in group
            ],
        )


def _splits(session: Session, records: Sequence[Record]) -> list[str | None]:
    wanted = {(one.answer.live.model_version_id, one.answer.scan_id) for one in records}
    found = session.execute(
        select(ModelVersion.id, SnapshotScan.scan_id, SnapshotScan.split)
        .join(Run, Run.id == ModelVersion.run_id)
        .join(SnapshotScan, SnapshotScan.snapshot_id == Run.snapshot_id)
        .where(
            ModelVersion.id.in_({model for model, _ in wanted}),
            SnapshotScan.scan_id.in_({scan for _, scan in wanted}),
        )
    )
    splits = {(model, scan): split for model, scan, split in found}
    return [splits.get((one.answer.live.model_version_id, one.answer.scan_id)) for one in records]
