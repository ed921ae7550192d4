"""Take a claimed drop in: objects first, then one transaction, then the originals are moved."""

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
from tumorml.scans.ingest.intake import gather
from tumorml.scans.ingest.plan_shards import plan_batch
from tumorml.scans.ingest.put_away import put_away
from tumorml.scans.ingest.read_shard import OnProgress, read_shard
from tumorml.scans.ingest.record import record
from tumorml.settings import Settings

log = logging.getLogger(__name__)


def ingest_batch(
    settings: Settings, batch_id: str, *, on_progress: OnProgress | None = None
) -> str:
    """Take in one batch that ``claim_drops`` made, one shard after the other; its id is returned.

    After a crash anywhere, doing it again ends with the same rows and files. A batch that is
    finished is left as it is.

    Args:
        settings: Where the object store and the results store are, and the limits.
        batch_id: A row of ``batch``.
        on_progress: Called with the number of files read and their total, after each file.

    Raises:
        TumorMLError: There is no such batch.
    """
    if _batch(settings, batch_id).state == "waiting":
        plan = plan_batch(settings, batch_id)
        before = 0

        def read(done: int, of_shard: int) -> None:
            nonlocal before
            if on_progress is not None:
                on_progress(before + done, plan.files)
            before += of_shard if done == of_shard else 0

        for shard in range(1, plan.shards + 1):
            read_shard(settings, batch_id, shard, plan.shards, on_progress=read)
    finish_batch(settings, batch_id)
    fingerprint_scans(settings, batch_id)
    return batch_id


def finish_batch(settings: Settings, batch_id: str) -> str:
    """Judge a batch whose shards are read, record it and put its files away; its id is returned.

    Needs of each file what was found in it, and no pixels. A batch that is finished is left as it
    is.

    Raises:
        TumorMLError: There is no such batch, or a shard of it was not read.
    """
    started = time.monotonic()
    batch = _batch(settings, batch_id)
    if batch.finished_at is not None:
        return batch_id
    store = object_store(settings)
    claim = read_claim(store, batch_id)
    if batch.state == "waiting":
        intake = gather(settings, store, batch_id, claim, batch.claimed_at)
        record(settings, batch_id, claim, intake, intake.seconds + time.monotonic() - started)
    put_away(settings, store, batch_id, claim)
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
    log.info("%s is finished in %.1f s: %s", batch_id, seconds, outcomes or "no file")
    return batch_id


def _batch(settings: Settings, batch_id: str) -> Batch:
    with read_session(settings) as session:
        batch = session.get(Batch, batch_id)
    if batch is None:
        raise TumorMLError(f"There is no batch {batch_id!r}: see the table batch for those there.")
    return batch
