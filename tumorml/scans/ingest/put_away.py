"""Move the originals of a batch out of the inbox."""

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
from tumorml.scans.ingest.record import place_of_archive
from tumorml.settings import Settings
from tumorml.timers import Interval

log = logging.getLogger(__name__)

_REMOTE_MOVES = 8
"""In a bucket a move is five requests, which mostly wait."""
_MOVES_AT_ONCE = 500
_LOG_SECONDS = 5.0


def put_away(settings: Settings, store: ObjectStore, batch_id: str, claim: Claim) -> None:
    """Move what was claimed to ``archive/`` and ``quarantine/``, then close the batch.

    Only files that are still what was claimed are moved, and never onto another; whatever came
    later stays in the inbox. Doing it again finishes what was left.
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
                if target and file.is_still(waiting.get(file.key))
            ],
        )
        store.remove_empty_folders(claim.drop_key)
        batch.finished_at = datetime.now(UTC)


def _moves(
    session: Session, batch: Batch, claim: Claim
) -> Iterator[tuple[ClaimedFile, str | None]]:
    quarantined = batch.state == "quarantined"
    if is_archive(claim):
        yield claim.files[0], place_of_archive(batch.id, claim, quarantined=quarantined)
    else:
        rows = session.execute(
            select(BatchFile.path, BatchFile.object_key).where(BatchFile.batch_id == batch.id)
        )
        places = {row.path: row.object_key for row in rows}
        for file in claim.files:
            yield file, places.get(file.path)
    if claim.marker:
        place = quarantine_key if quarantined else archive_key
        yield claim.marker, place(batch.id, claim.marker.path)


def _move_all(store: ObjectStore, moves: Sequence[tuple[ClaimedFile, str]]) -> None:
    """Where a move is a copy and a delete over a network, many at a time."""
    threads = 1 if store.local_path(INBOX) else _REMOTE_MOVES
    with ThreadPoolExecutor(threads) as pool:
        progress_log = Interval(_LOG_SECONDS)
        for start in range(0, len(moves), _MOVES_AT_ONCE):
            for _ in pool.map(lambda m: _move(store, *m), moves[start : start + _MOVES_AT_ONCE]):
                pass  # raises what a move raised
            if progress_log.due():
                moved = min(start + _MOVES_AT_ONCE, len(moves))
                log.info("moved %s of %s files", moved, len(moves))


def _move(store: ObjectStore, file: ClaimedFile, target: str) -> None:
    # Asked once more: the files before it may have taken minutes.
    if not file.is_still(store.find(file.key)):
        log.warning("%s was changed before it could be moved", file.key)
        return
    try:
        if not store.exists(target):
            store.move(file.key, target)
        elif store.holds_same(file.key, target):
            # The rest of a move that was interrupted between copy and delete.
            store.remove(file.key)
        else:
            log.warning("%s stays in the inbox: %s exists", file.key, target)
    except FileNotFoundError:
        log.warning("%s went away before it could be moved", file.key)


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
