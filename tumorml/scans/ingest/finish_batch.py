"""Finish a batch: write its objects, then its rows in one transaction, then move its files."""

from __future__ import annotations

import logging
import time

from sqlalchemy import func, select

from tumorml.errors import TumorMLError
from tumorml.objects import object_store
from tumorml.results.session import read_session
from tumorml.results.tables import Batch, BatchFile
from tumorml.scans.inbox.claim import read_claim
from tumorml.scans.ingest.fingerprint_scans import fingerprint_scans
from tumorml.scans.ingest.gather_batch import gather_batch
from tumorml.scans.ingest.move_originals import move_originals
from tumorml.scans.ingest.plan_shards import plan_batch
from tumorml.scans.ingest.read_shard import OnProgress, read_shard
from tumorml.scans.ingest.record_batch import record_batch
from tumorml.settings import Settings

log = logging.getLogger(__name__)


def ingest_batch(
    settings: Settings, batch_id: str, *, on_progress: OnProgress | None = None
) -> str:
    """Ingest one claimed batch in this process, one shard after the other.

    After a crash, a second call completes the ingest, with the same rows and files as without the
    crash. A finished batch is not changed.

    Args:
        settings: The stores and the limits.
        batch_id: Id of a row of the table ``batch``.
        on_progress: Called after each file with the number of files read and their total.

    Returns:
        The id of the batch.

    Raises:
        TumorMLError: There is no such batch.
    """
    if _batch(settings, batch_id).state == "waiting":
        plan = plan_batch(settings, batch_id)
        earlier_shards = 0

        def report(done: int, shard_files: int) -> None:
            nonlocal earlier_shards
            if on_progress is not None:
                on_progress(earlier_shards + done, plan.files)
            earlier_shards += shard_files if done == shard_files else 0

        for shard in range(1, plan.shards + 1):
            read_shard(settings, batch_id, shard, plan.shards, on_progress=report)
    finish_batch(settings, batch_id)
    fingerprint_scans(settings, batch_id)
    return batch_id


def finish_batch(settings: Settings, batch_id: str) -> str:
    """Validate and record a batch whose shards have been read, and move its files.

    It reads the findings of the shards, but decodes no images. A finished batch is not changed.

    Returns:
        The id of the batch.

    Raises:
        TumorMLError: There is no such batch, or one of its shards has not been read.
    """
    started = time.monotonic()
    batch = _batch(settings, batch_id)
    if batch.finished_at is not None:
        return batch_id
    store = object_store(settings)
    claim = read_claim(store, batch_id)
    if batch.state == "waiting":
        gathered = gather_batch(settings, store, batch_id, claim, batch.claimed_at)
        seconds = gathered.seconds + time.monotonic() - started
        record_batch(settings, batch_id, claim, gathered, seconds)
    move_originals(settings, store, batch_id, claim)
    with read_session(settings) as session:
        counts = session.execute(
            select(BatchFile.outcome, func.count())
            .where(BatchFile.batch_id == batch_id)
            .group_by(BatchFile.outcome)
        )
        outcomes = ", ".join(
            f"{number} {outcome}" for outcome, number in sorted(map(tuple, counts))
        )
    seconds = time.monotonic() - started
    log.info("batch %s: finished in %.1f s; %s", batch_id, seconds, outcomes or "no file")
    return batch_id


def _batch(settings: Settings, batch_id: str) -> Batch:
    with read_session(settings) as session:
        batch = session.get(Batch, batch_id)
    if batch is None:
        raise TumorMLError(f"There is no batch {batch_id!r}: see the table batch.")
    return batch
