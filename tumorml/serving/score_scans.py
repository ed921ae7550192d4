"""The step ``score``: the champion predicts the stored scans that have no label."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import compress

from sqlalchemy import Select, exists, func, select

from tumorml.datasets.resize import fit_to_square
from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.objects import ObjectStore, object_store
from tumorml.objects.keys import scan_key, score_heatmap_key
from tumorml.results.champions import champion_of
from tumorml.results.session import read_session, transaction_lock, write_session
from tumorml.results.tables import Prediction, Scan, ScanLabel
from tumorml.scans.images.decode import decode
from tumorml.serving.live_champions import LiveChampion, load_live_champion
from tumorml.serving.predict_scans import (
    ScanInput,
    ScanPrediction,
    explain_prediction,
    predict_scans,
)
from tumorml.serving.record_predictions import (
    PredictionRecord,
    record_predictions,
    store_overlay,
)
from tumorml.settings import Settings

logger = logging.getLogger(__name__)

CHUNK = 64
"""Scans that are predicted and recorded in one transaction."""
_THREADS = 2
"""Scans that are decoded or drawn at a time. Each may have millions of pixels."""


def score_scans(settings: Settings, task: Task) -> int:
    """Predict every unlabeled scan that the task's champion has not scored yet.

    A scan gets the same prediction as from the API. The champion has to reproduce its golden scans
    first. Each chunk of scans is one transaction, so an interrupted step resumes after the last
    finished chunk. Memory holds one chunk of scans, at the input size of the network.

    Returns:
        The number of scored scans.

    Raises:
        TumorMLError: The task has no champion; the champion does not reproduce its golden scans;
            or some scans could not be read, which is raised after all others are scored.
    """
    with read_session(settings) as session:
        champion = champion_of(session, task)
        if champion is None:
            raise TumorMLError(f"The task {task} has no champion yet; retrain first.")
        unscored = _unscored_scans(champion.model_version_id)
        total = session.scalar(select(func.count()).select_from(unscored.subquery())) or 0
    if not total:
        logger.info("no unlabeled scan to score by %s", champion.model_version_id)
        return 0
    live = load_live_champion(settings, champion.model_version_id, champion.since)
    store = object_store(settings)
    started = time.monotonic()
    scored, last_id = 0, ""
    unreadable: list[str] = []
    with ThreadPoolExecutor(_THREADS) as threads:
        while chunk := _next_chunk(settings, live, last_id):
            read = list(threads.map(lambda scan: _read_input(store, live, scan), chunk))
            inputs = [one for one in read if isinstance(one, ScanInput)]
            unreadable += [one for one in read if isinstance(one, str)]
            if inputs:
                scored += _score_chunk(settings, store, inputs, threads)
            last_id = chunk[-1]
            rate = scored / (time.monotonic() - started)
            logger.info("scored %s of %s scans, %.0f scans per second", scored, total, rate)
    if unreadable:
        raise TumorMLError(
            f"{scored} scans were scored; {len(unreadable)} could not be read. {unreadable[0]}"
        )
    return scored


def _next_chunk(settings: Settings, champion: LiveChampion, last_id: str) -> list[str]:
    chunk = _unscored_scans(champion.model_version_id).where(Scan.id > last_id).limit(CHUNK)
    with read_session(settings) as session:
        return list(session.scalars(chunk))


def _read_input(store: ObjectStore, champion: LiveChampion, scan_id: str) -> ScanInput | str:
    """Return the input for the network, or the reason why the scan cannot be read."""
    try:
        pixels = decode(store.read(scan_key(scan_id))).pixels
        image = fit_to_square(pixels, champion.served.input_size)
    except TumorMLError as error:
        logger.warning("scan %s cannot be read: %s", scan_id, error)
        return f"{scan_id}: {error}"
    return ScanInput(champion, scan_id, image)


def _score_chunk(
    settings: Settings,
    store: ObjectStore,
    inputs: list[ScanInput],
    threads: ThreadPoolExecutor,
) -> int:
    """Predict, explain and record scans; return the number of new rows."""
    predictions: list[ScanPrediction] = []
    for start in range(0, len(inputs), settings.api_batch):
        batch = inputs[start : start + settings.api_batch]
        predictions += predict_scans(batch, settings.api_confidence)
    records = list(threads.map(lambda one: _explain(settings, store, one), predictions))
    ids = [one.scan_id for one in inputs]
    model_version_id = inputs[0].champion.model_version_id
    with write_session(settings) as session:
        # Two concurrent scoring steps must not write a row twice.
        transaction_lock(session, f"score by {model_version_id}")
        unscored = set(session.scalars(_unscored_scans(model_version_id).where(Scan.id.in_(ids))))
        new = list(compress(records, (scan_id in unscored for scan_id in ids)))
        record_predictions(session, new, source="score")
    return len(new)


def _explain(
    settings: Settings, store: ObjectStore, prediction: ScanPrediction
) -> PredictionRecord:
    pixels = decode(store.read(scan_key(prediction.scan_id))).pixels
    overlay = explain_prediction(settings, prediction, pixels).overlay
    key = score_heatmap_key(prediction.champion.model_version_id, prediction.scan_id, overlay)
    artifact = store_overlay(store, key, prediction, overlay, scan_id=prediction.scan_id)
    return PredictionRecord(prediction, overlay=artifact)


def _unscored_scans(model_version_id: str) -> Select[str]:
    labeled = exists().where(ScanLabel.scan_id == Scan.id)
    scored = exists().where(
        Prediction.scan_id == Scan.id,
        Prediction.model_version_id == model_version_id,
        Prediction.source == "score",
    )
    return select(Scan.id).where(~labeled, ~scored).order_by(Scan.id)
