"""Compute fingerprints of stored scans and write them to the table ``fingerprint``."""

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

_SCANS_PER_TRANSACTION = 512
_LOG_SECONDS = 5.0


def fingerprint_scans(
    settings: Settings, batch_id: str | None = None, shard: int = 1, shards: int = 1
) -> int:
    """Compute the fingerprints of all scans without one, and replace those of older versions.

    After a crash, a second call computes the missing fingerprints. A scan without a visible head
    has no fingerprint data; its row is marked as compared, so that the search for twins skips it.

    Args:
        settings: The stores.
        batch_id: Process only the scans that are new in this batch; None for all scans.
        shard: Number of the part to compute, from 1. Parts are ranges of scan ids, which are
            digests, so all parts have about the same size.
        shards: The number of parts.

    Returns:
        The number of fingerprints computed.
    """
    store = object_store(settings)
    after = _bound(shard - 1, shards) if shard > 1 else ""
    until = _bound(shard, shards) if shard < shards else None
    computed, progress_log = 0, Interval(_LOG_SECONDS)
    with ThreadPoolExecutor() as pool:
        while True:
            with read_session(settings) as session:
                waiting = _scans_without(session, batch_id, after, until)
            if not waiting:
                break
            rows = list(pool.map(lambda scan: _row(store, scan), waiting))
            with write_session(settings) as session:
                _delete_outdated(session, waiting)
                computed += copy_rows(session, Fingerprint, rows, on_conflict_do_nothing=True)
            after = waiting[-1]
            if progress_log.due():
                logger.info("computed %s fingerprints", computed)
    if computed:
        logger.info("computed %s fingerprints", computed)
    return computed


def _bound(part: int, parts: int) -> str:
    """Return the largest id of the first ``part`` of ``parts`` equal ranges."""
    return f"{16**8 * part // parts:08x}"


def _scans_without(
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
        .limit(_SCANS_PER_TRANSACTION)
    )
    if batch_id is not None:
        query = query.where(Scan.batch_id == batch_id)
    if until is not None:
        query = query.where(Scan.id <= until)
    return session.scalars(query).all()


def _delete_outdated(session: Session, scans: Sequence[str]) -> None:
    """Delete fingerprints of older versions, and the twins that were found with them."""
    outdated = session.scalars(
        delete(Fingerprint)
        .where(Fingerprint.scan_id.in_(scans), Fingerprint.version < VERSION)
        .returning(Fingerprint.scan_id)
    ).all()
    if outdated:
        session.execute(
            delete(Twin).where(or_(Twin.scan_id.in_(outdated), Twin.other_id.in_(outdated)))
        )


def _row(store: ObjectStore, scan_id: str) -> dict[str, Any]:
    result = fingerprint(decode(store.read(scan_key(scan_id))).pixels)
    return {
        "scan_id": scan_id,
        "version": VERSION,
        "keys": result.keys.tobytes() if result else None,
        "grids": result.grids.tobytes() if result else None,
        "thumbnail": result.thumbnail.tobytes() if result else None,
        "height": result.thumbnail.shape[0] if result else None,
        "compared_at": None if result else datetime.now(UTC).isoformat(),
    }
