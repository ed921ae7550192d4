"""Database rows of the predictions of servers, and the overlays they refer to."""

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
from tumorml.serving.predict_scans import ScanPrediction
from tumorml.serving.request_batcher import RequestBatcher
from tumorml.settings import Settings

MAX_BATCH_SIZE = 512
"""Maximum number of predictions in one transaction."""


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """A prediction to be written to the results store.

    Attributes:
        prediction: The prediction.
        caller: Name of the API key that requested it; None for scores.
        overlay: Row ``artifact`` of the heatmap, if one was stored.
    """

    prediction: ScanPrediction
    caller: str | None = None
    overlay: Mapping[str, object] | None = None


def store_overlay(
    store: ObjectStore,
    key: str,
    prediction: ScanPrediction,
    data: bytes,
    *,
    scan_id: str | None = None,
) -> dict[str, object]:
    """Write the overlay of a prediction to the object store; return its row ``artifact``.

    Args:
        store: The object store.
        key: Key of the new object.
        prediction: The prediction that the overlay explains.
        data: The PNG.
        scan_id: Id of the row ``scan``, if the scan is stored.
    """
    store.write(key, data)
    return artifact_row("heatmap", key, data, scan_id, prediction.champion.model_version_id, None)


def recording_batcher(settings: Settings) -> RequestBatcher[PredictionRecord, str | None]:
    """Return a batcher that writes the API's predictions, a batch in one transaction.

    The result for each prediction is the split of the scan in the snapshot that its model version
    was trained on, or None if the scan is not in that snapshot.
    """

    def write(records: Sequence[PredictionRecord]) -> list[str | None]:
        with write_session(settings) as session:
            record_predictions(session, records, source="api")
            return _training_splits(session, records)

    return RequestBatcher("prediction records", write, max_batch_size=MAX_BATCH_SIZE)


def record_predictions(
    session: Session, records: Sequence[PredictionRecord], *, source: str
) -> None:
    """Write a row ``prediction`` for each record, and the rows ``artifact`` they refer to.

    Args:
        session: The transaction.
        records: Of any champions and times.
        source: Value of the column ``source``: ``api`` or ``score``.
    """
    # An image that was sent twice has one overlay. Sorted keys prevent a deadlock of two servers.
    overlays = {str(one.overlay["object_key"]): one.overlay for one in records if one.overlay}
    record_artifacts(session, [overlays[key] for key in sorted(overlays)])
    groups: dict[tuple[str, datetime], list[PredictionRecord]] = defaultdict(list)
    for record in records:
        prediction = record.prediction
        groups[prediction.champion.model_version_id, prediction.answered_at].append(record)
    for (model_version_id, answered_at), group in groups.items():
        predictions = [record.prediction for record in group]
        champion = predictions[0].champion
        labels = champion.served.labels
        write_predictions(
            session,
            Answers(
                [one.scan_id for one in predictions],
                labels,
                np.array([[one.probabilities[name] for name in labels] for one in predictions]),
                np.array([labels.index(one.label) for one in predictions]),
            ),
            task=champion.task,
            model_version_id=model_version_id,
            run_id=None,
            source=source,
            created_at=answered_at,
            heatmap_keys=[
                None if record.overlay is None else str(record.overlay["object_key"])
                for record in group
            ],
            serving_columns=[
                {
                    "caller": record.caller,
                    "possible_labels": record.prediction.possible_labels,
                    "confidence": record.prediction.stated_confidence,
                    "distance": record.prediction.distance,
                    "unlike": record.prediction.unlike,
                }
                for record in group
            ],
        )


def _training_splits(session: Session, records: Sequence[PredictionRecord]) -> list[str | None]:
    keys = [
        (record.prediction.champion.model_version_id, record.prediction.scan_id)
        for record in records
    ]
    found = session.execute(
        select(ModelVersion.id, SnapshotScan.scan_id, SnapshotScan.split)
        .join(Run, Run.id == ModelVersion.run_id)
        .join(SnapshotScan, SnapshotScan.snapshot_id == Run.snapshot_id)
        .where(
            ModelVersion.id.in_({model for model, _ in keys}),
            SnapshotScan.scan_id.in_({scan for _, scan in keys}),
        )
    )
    splits = {(model, scan): split for model, scan, split in found}
    return [splits.get(key) for key in keys]
