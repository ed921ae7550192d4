"""Move the original files of a batch out of the inbox."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tumorml.objects import ObjectStore
from tumorml.objects.keys import INBOX, archive_key, quarantine_key, reasons_key
from tumorml.results.session import transaction_lock, write_session
from tumorml.results.tables import Batch, BatchFile
from tumorml.scans.contents.open_contents import is_archive
from tumorml.scans.inbox.claim import Claim, ClaimedFile
from tumorml.scans.ingest.record_batch import archive_location
from tumorml.settings import Settings
from tumorml.timers import Interval

log = logging.getLogger(__name__)

_REMOTE_MOVES = 8
"""Parallel moves in a bucket, where a move takes five requests."""
_MOVES_PER_CHUNK = 500
_LOG_SECONDS = 5.0


def move_originals(settings: Settings, store: ObjectStore, batch_id: str, claim: Claim) -> None:
    """Move the claimed files to ``archive/`` and ``quarantine/``, then mark the batch finished.

    Only files that are unchanged since the claim are moved, and no file is overwritten. Files that
    arrived later stay in the inbox. After a crash, a second call moves the remaining files.
    """
    with write_session(settings) as session:
        transaction_lock(session, f"batch {batch_id}")
        batch = session.get_one(Batch, batch_id)
        if batch.finished_at is not None:
            return
        _write_reasons(session, store, batch)
        waiting = {stored.key: stored for stored in store.list(INBOX)}
        _move_all(
            store,
            [
                (file, target)
                for file, target in _moves(session, batch, claim)
                if target and file.is_unchanged(waiting.get(file.key))
            ],
        )
        store.remove_empty_folders(claim.drop_key)
        batch.finished_at = datetime.now(UTC)


def _moves(
    session: Session, batch: Batch, claim: Claim
) -> Iterator[tuple[ClaimedFile, str | None]]:
    quarantined = batch.state == "quarantined"
    if is_archive(claim):
        yield claim.files[0], archive_location(batch.id, claim, quarantined=quarantined)
    else:
        rows = session.execute(
            select(BatchFile.path, BatchFile.object_key).where(BatchFile.batch_id == batch.id)
        )
        targets = {row.path: row.object_key for row in rows}
        for file in claim.files:
            yield file, targets.get(file.path)
    if claim.marker:
        key = quarantine_key if quarantined else archive_key
        yield claim.marker, key(batch.id, claim.marker.path)


def _move_all(store: ObjectStore, moves: Sequence[tuple[ClaimedFile, str]]) -> None:
    """Move the files; in a remote store several at a time."""
    threads = 1 if store.local_path(INBOX) else _REMOTE_MOVES
    with ThreadPoolExecutor(threads) as pool:
        progress_log = Interval(_LOG_SECONDS)
        for start in range(0, len(moves), _MOVES_PER_CHUNK):
            for _ in pool.map(lambda m: _move(store, *m), moves[start : start + _MOVES_PER_CHUNK]):
                pass  # iterating reraises exceptions from the threads
            if progress_log.due():
                moved = min(start + _MOVES_PER_CHUNK, len(moves))
                log.info("moved %s of %s files", moved, len(moves))


def _move(store: ObjectStore, file: ClaimedFile, target: str) -> None:
    # Checked again, because moving the earlier files may have taken minutes.
    if not file.is_unchanged(store.find(file.key)):
        log.warning("%s: not moved, because it was changed or removed", file.key)
        return
    try:
        if not store.exists(target):
            store.move(file.key, target)
        elif store.are_identical(file.key, target):
            # An earlier move was interrupted between copy and delete.
            store.remove(file.key)
        else:
            log.warning("%s: not moved, because %s exists with other content", file.key, target)
    except FileNotFoundError:
        log.warning("%s: not moved, because it was removed", file.key)


def _write_reasons(session: Session, store: ObjectStore, batch: Batch) -> None:
    refused = session.execute(
        select(BatchFile.path, BatchFile.reason)
        .where(BatchFile.batch_id == batch.id, BatchFile.outcome == "refused")
        .order_by(BatchFile.path)
    ).all()
    if not refused and batch.state != "quarantined":
        return
    reasons = {
        "batch": batch.id,
        "reason": batch.reason,
        "files": [{"path": path, "reason": reason} for path, reason in refused],
    }
    text = json.dumps(reasons, indent=1, ensure_ascii=False)
    store.write(reasons_key(batch.id), text.encode())
