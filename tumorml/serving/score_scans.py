"""The step ``score``: the champion over scans that nobody has labelled."""

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
from tumorml.serving.live_champions import Live, load_live
from tumorml.serving.predict_scans import Answer, Question, answer, explained
from tumorml.serving.record_predictions import Record, record_answers, store_overlay
from tumorml.settings import Settings

logger = logging.getLogger(__name__)

CHUNK = 64
_READERS = 2
"""So many scans are decoded or drawn at once; each may have millions of pixels."""


def score_scans(settings: Settings, task: Task) -> int:
    """Let the task's champion answer about every unlabelled scan that it has not read yet.

    The champion answers as it does in the API, and proves itself first. Each chunk of scans is one
    transaction, so that an interrupted step goes on where it was; no more than a chunk is in
    memory, at the network's input size.

    Returns:
        How many scans were scored.

    Raises:
        TumorMLError: The task has no champion, or that one answers otherwise than when it was
            trained; or, when all others are scored, some scans could not be read.
    """
    with read_session(settings) as session:
        champion = champion_of(session, task)
        if champion is None:
            raise TumorMLError(f"The task {task} has no champion yet; retrain first.")
        waiting = _waiting(champion.model_version_id)
        total = session.scalar(select(func.count()).select_from(waiting.subquery())) or 0
    if not total:
        logger.info("no unlabelled scan waits for %s", champion.model_version_id)
        return 0
    live = load_live(settings, champion.model_version_id, champion.since)
    store = object_store(settings)
    started = time.monotonic()
    scored, last = 0, ""
    unreadable: list[str] = []
    with ThreadPoolExecutor(_READERS) as readers:
        while part := _next(settings, live, last):
            read = list(readers.map(lambda scan: _question(store, live, scan), part))
            questions = [one for one in read if isinstance(one, Question)]
            unreadable += [one for one in read if isinstance(one, str)]
            if questions:
                scored += _score(settings, store, live, questions, readers)
            last = part[-1]
            rate = scored / (time.monotonic() - started)
            logger.info("scored %s of %s scans, %.0f a second", scored, total, rate)
    if unreadable:
        raise TumorMLError(
            f"{scored} scans were scored; {len(unreadable)} could not be read. {unreadable[0]}"
        )
    return scored


def _next(settings: Settings, live: Live, last: str) -> list[str]:
    waiting = _waiting(live.model_version_id).where(Scan.id > last).limit(CHUNK)
    with read_session(settings) as session:
        return list(session.scalars(waiting))


def _question(store: ObjectStore, live: Live, scan_id: str) -> Question | str:
    """What the network is asked, or why it cannot be."""
    try:
        image = fit_to_square(decode(store.read(scan_key(scan_id))).pixels, live.served.input_size)
    except TumorMLError as error:
        logger.warning("scan %s cannot be read: %s", scan_id, error)
        return f"{scan_id}: {error}"
    return Question(live, scan_id, image)


def _score(
    settings: Settings,
    store: ObjectStore,
    live: Live,
    questions: list[Question],
    readers: ThreadPoolExecutor,
) -> int:
    """Answer, explain and write down; how many rows there are more."""
    answers: list[Answer] = []
    for start in range(0, len(questions), settings.api_batch):
        few = questions[start : start + settings.api_batch]
        answers += answer(few, settings.api_confidence)
    records = list(readers.map(lambda one: _explained(settings, store, one), answers))
    ids = [one.scan_id for one in questions]
    with write_session(settings) as session:
        # Two who score at once write no row twice.
        transaction_lock(session, f"score by {live.model_version_id}")
        still = set(session.scalars(_waiting(live.model_version_id).where(Scan.id.in_(ids))))
        kept = list(compress(records, (scan_id in still for scan_id in ids)))
        record_answers(session, kept, source="score")
    return len(kept)


def _explained(settings: Settings, store: ObjectStore, answer: Answer) -> Record:
    pixels = decode(store.read(scan_key(answer.scan_id))).pixels
    overlay = explained(settings, answer, pixels).overlay
    key = score_heatmap_key(answer.live.model_version_id, answer.scan_id, overlay)
    artifact = store_overlay(store, key, answer, overlay, scan_id=answer.scan_id)
    return Record(answer, overlay=artifact)


def _waiting(champion: str) -> Select[str]:
    labelled = exists().where(ScanLabel.scan_id == Scan.id)
    predicted = exists().where(
        Prediction.scan_id == Scan.id,
        Prediction.model_version_id == champion,
        Prediction.source == "score",
    )
    return select(Scan.id).where(~labelled, ~predicted).order_by(Scan.id)
