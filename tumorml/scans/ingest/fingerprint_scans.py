"""The fingerprints of stored scans, as rows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from tumorml.objects import ObjectStore, object_store
from tumorml.objects.keys import scan_key
from tumorml.results.bulk import copy_rows
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Fingerprint, Scan, Twin
from tumorml.scans.images.decode import decode
from tumorml.scans.images.fingerprint import VERSION, fingerprint
from tumorml.settings import Settings
from tumorml.timers import Interval

logger = logging.getLogger(__name__)

_SCANS_AT_ONCE = 512
_LOG_SECONDS = 5.0


def fingerprint_scans(
    settings: Settings, batch_id: str | None = None, shard: int = 1, shards: int = 1
) -> int:
    """Give every scan that has none a fingerprint; older ones are made anew.

    Done again after a crash it goes on where it was. A scan in which no head stands out needs no
    comparison and counts as compared.

    Args:
        settings: Where.
        batch_id: Only the scans that this batch brought; none: all.
        shard: Which part of them, from 1; ids are digests, so that the parts are equally large.
        shards: Of how many.

    Returns:
        How many were made.
    """
    store = object_store(settings)
    after = _bound(shard - 1, shards) if shard > 1 else ""
    until = _bound(shard, shards) if shard < shards else None
    made, progress_log = 0, Interval(_LOG_SECONDS)
    with ThreadPoolExecutor() as pool:
        while True:
            with read_session(settings) as session:
                waiting = _without(session, batch_id, after, until)
            if not waiting:
                break
            rows = list(pool.map(lambda scan: _row(store, scan), waiting))
            with write_session(settings) as session:
                _forget(session, waiting)
                made += copy_rows(session, Fingerprint, rows, on_conflict_do_nothing=True)
            after = waiting[-1]
            if progress_log.due():
                logger.info("made %s fingerprints", made)
    if made:
        logger.info("made %s fingerprints", made)
    return made


def _bound(part: int, parts: int) -> str:
    """Ids up to this one are of the first ``part`` of all parts."""
    return f"{16**8 * part // parts:08x}"


def _without(
    session: Session, batch_id: str | None, after: str, until: str | None
) -> Sequence[str]:
    query = (
        select(Scan.id)
        .outerjoin(Fingerprint, Fingerprint.scan_id == Scan.id)
        .where(
            Scan.id > after,
            or_(Fingerprint.scan_id.is_(None), Fingerprint.version < VERSION),
        )
        .order_by(Scan.id)
        .limit(_SCANS_AT_ONCE)
    )
    if batch_id is not None:
        query = query.where(Scan.batch_id == batch_id)
    if until is not None:
        query = query.where(Scan.id <= until)
    return session.scalars(query).all()


def _forget(session: Session, scans: Sequence[str]) -> None:
    """Take away older fingerprints, and the twins that they were found by."""
    stale = session.scalars(
        delete(Fingerprint)
        .where(Fingerprint.scan_id.in_(scans), Fingerprint.version < VERSION)
        .returning(Fingerprint.scan_id)
    ).all()
    if stale:
        session.execute(delete(Twin).where(or_(Twin.scan_id.in_(stale), Twin.other_id.in_(stale))))


def _row(store: ObjectStore, scan_id: str) -> dict[str, Any]:
    made = fingerprint(decode(store.read(scan_key(scan_id))).pixels)
    return {
        "scan_id": scan_id,
        "version": VERSION,
        "keys": made.keys.tobytes() if made else None,
        "grids": made.grids.tobytes() if made else None,
        "thumbnail": made.thumbnail.tobytes() if made else None,
        "height": made.thumbnail.shape[0] if made else None,
        "compared_at": None if made else datetime.now(UTC).isoformat(),
    }
