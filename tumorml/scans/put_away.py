"""Move the originals of a batch out of the inbox."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tumorml.objects import ObjectStore
from tumorml.results.session import lock, writing
from tumorml.results.tables import Batch, BatchFile
from tumorml.scans.claim import Claim, ClaimedFile
from tumorml.scans.contents import is_archive
from tumorml.scans.drops import INBOX
from tumorml.scans.names import archive_key, quarantine_key
from tumorml.scans.record import place_of_archive
from tumorml.settings import Settings

log = logging.getLogger(__name__)

_MOVES_AT_ONCE = 8
"""In a bucket a move is five requests, which mostly wait."""


def put_away(settings: Settings, store: ObjectStore, batch_id: str, claim: Claim) -> None:
    """Move what was claimed to ``archive/`` and ``quarantine/``, then close the batch.

    Only files that are still what was claimed are moved, and never onto another; whatever came
    later stays in the inbox. Doing it again finishes what was left.
    """
    with writing(settings) as session:
        lock(session, f"batch {batch_id}")
        batch = session.get_one(Batch, batch_id)
        if batch.finished_at is not None:
            return
        _write_reasons(session, store, batch)
        waiting = {stored.key: stored for stored in store.list(INBOX)}
        moves = [
            (file.key, target)
            for file, target in _moves(session, batch, claim)
            if target and file.is_still(waiting.get(file.key))
        ]
        with ThreadPoolExecutor(_MOVES_AT_ONCE) as pool:
            list(pool.map(lambda move: _move(store, *move), moves))
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


def _move(store: ObjectStore, source: str, target: str) -> None:
    if store.exists(target):
        if store.holds_same(source, target):
            store.remove(source)  # the rest of a move that was interrupted between copy and delete
            return
        log.warning("%s stays in the inbox: %s exists", source, target)
        return
    try:
        store.move(source, target)
    except FileNotFoundError:
        log.warning("%s went away before it could be moved", source)


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
    store.write(f"quarantine/{batch.id}/reasons.json", text.encode())
