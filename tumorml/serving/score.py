"""The step ``score``: the champion over scans that nobody has labelled."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import Select, exists, select

from tumorml.datasets.pixel_cache import read_scan
from tumorml.errors import TumorMLError
from tumorml.evaluation.answers import Answers
from tumorml.evaluation.predictions import write_predictions
from tumorml.explain.step import Explained, picture_artifact, store_overlays
from tumorml.labels import Task
from tumorml.models.store import fetch_predictor
from tumorml.objects import object_store
from tumorml.results.artifacts import record_artifacts
from tumorml.results.session import lock, reading, writing
from tumorml.results.tables import Champion, Prediction, Scan, ScanLabel
from tumorml.settings import Settings

logger = logging.getLogger(__name__)

CHUNK = 256


def score_scans(settings: Settings, task: Task) -> int:
    """Predict every unlabelled scan that the task's champion has not predicted yet.

    Each chunk of scans is one transaction, so that an interrupted step goes on where it was.

    Returns:
        How many scans were scored.

    Raises:
        TumorMLError: The task has no champion.
    """
    with reading(settings) as session:
        champion = session.scalar(
            select(Champion.model_version_id).where(
                Champion.task == str(task), Champion.until.is_(None)
            )
        )
        if champion is None:
            raise TumorMLError(f"The task {task} has no champion yet; retrain first.")
        scan_ids = list(session.scalars(_waiting(champion)))
    if not scan_ids:
        logger.info("no unlabelled scan waits for %s", champion)
        return 0
    predictor = fetch_predictor(settings, champion)
    store = object_store(settings)
    scored = 0
    for start in range(0, len(scan_ids), CHUNK):
        part = scan_ids[start : start + CHUNK]
        images = np.stack([read_scan(store, scan, predictor.input_size) for scan in part])
        probabilities = predictor.predict(images)
        decided = predictor.decide(probabilities)
        explained = [
            Explained(scan, predictor.labels[label], float(row[label]), None)
            for scan, label, row in zip(part, decided, probabilities, strict=True)
        ]
        overlays = list(store_overlays(store, predictor, explained, f"scores/{champion}"))
        with writing(settings) as session:
            lock(session, f"score by {champion}")
            waiting = set(session.scalars(_waiting(champion).where(Scan.id.in_(part))))
            keep = [index for index, scan in enumerate(part) if scan in waiting]
            record_artifacts(
                session,
                [
                    picture_artifact("heatmap", key, data, answer.scan_id, champion, None)
                    for answer, key, data in overlays
                ],
            )
            scored += write_predictions(
                session,
                Answers(
                    [part[i] for i in keep], predictor.labels, probabilities[keep], decided[keep]
                ),
                task=task,
                model_version_id=champion,
                run_id=None,
                source="score",
                created_at=datetime.now(UTC),
                heatmap_keys=[overlays[i][1] for i in keep],
            )
        logger.info("scored %s of %s scans", start + len(part), len(scan_ids))
    return scored


def _waiting(champion: str) -> Select[str]:
    labelled = exists().where(ScanLabel.scan_id == Scan.id)
    predicted = exists().where(
        Prediction.scan_id == Scan.id,
        Prediction.model_version_id == champion,
        Prediction.source == "score",
    )
    return select(Scan.id).where(~labelled, ~predicted).order_by(Scan.id)
