"""Find the twins of new scans in the store and record them in the table ``twin``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, or_, select, update

from tumorml.datasets.twins.candidates import Catalogue
from tumorml.datasets.twins.find_twins import find_twins
from tumorml.results.bulk import copy_rows
from tumorml.results.session import read_session, session_lock, write_session
from tumorml.results.tables import BatchFile, Fingerprint, Twin
from tumorml.scans.images.fingerprint import FRAMES, GRID_SIDE, KEY_LENGTH, VERSION
from tumorml.settings import Settings

logger = logging.getLogger(__name__)

_NEW_AT_ONCE = 20_000
"""Maximum number of new scans that are compared in one transaction."""
_ROWS_AT_ONCE = 20_000


def compare_new_scans(settings: Settings) -> int:
    """Find and record the twins of all scans that have not been compared yet.

    Each new scan is compared with all compared scans and with the other new scans of the same
    transaction, so that each pair is compared once.

    Returns:
        Number of pairs of twins that were found.
    """
    pair_count = 0
    with session_lock(settings, "comparer of scans"):
        while new := _waiting(settings):
            catalogue = load_catalogue(settings, new)
            position = {scan: index for index, scan in enumerate(catalogue.ids)}
            twins = find_twins(
                catalogue,
                [position[scan] for scan in new],
                _thumbnails(settings, catalogue.ids),
                labels=_labels_and_splits(settings, catalogue.ids),
            )
            with write_session(settings) as session:
                pair_count += copy_rows(
                    session,
                    Twin,
                    (
                        {
                            "scan_id": catalogue.ids[twin.first],
                            "other_id": catalogue.ids[twin.second],
                            "kind": twin.kind,
                            "score": twin.score,
                            "orientation": twin.orientation,
                        }
                        for twin in twins
                    ),
                    on_conflict_do_nothing=True,
                )
                session.execute(
                    update(Fingerprint)
                    .where(Fingerprint.scan_id.in_(new))
                    .values(compared_at=func.now())
                )
            logger.info("compared %s new scans with %s scans", len(new), len(catalogue.ids))
    return pair_count


def load_catalogue(settings: Settings, new: Sequence[str] = ()) -> Catalogue:
    """Return the fingerprints of all compared scans and of some new ones, ordered by scan id."""
    ids: list[str] = []
    keys: list[bytes] = []
    grids: list[bytes] = []
    with read_session(settings) as session:
        rows = session.execute(
            select(Fingerprint.scan_id, Fingerprint.keys, Fingerprint.grids)
            .where(
                Fingerprint.keys.is_not(None),
                Fingerprint.version == VERSION,
                or_(Fingerprint.compared_at.is_not(None), Fingerprint.scan_id.in_(new)),
            )
            .order_by(Fingerprint.scan_id)
            .execution_options(yield_per=_ROWS_AT_ONCE)
        )
        for scan, key, grid in rows:
            ids.append(scan)
            keys.append(key or b"")
            grids.append(grid or b"")
    frames = len(FRAMES)
    return Catalogue(
        ids,
        np.frombuffer(b"".join(keys), np.int8).reshape(-1, frames, KEY_LENGTH),
        np.frombuffer(b"".join(grids), np.int8).reshape(-1, frames, GRID_SIDE, GRID_SIDE),
    )


def _waiting(settings: Settings) -> Sequence[str]:
    with read_session(settings) as session:
        return session.scalars(
            select(Fingerprint.scan_id)
            .where(Fingerprint.compared_at.is_(None), Fingerprint.version == VERSION)
            .order_by(Fingerprint.scan_id)
            .limit(_NEW_AT_ONCE)
        ).all()


def _thumbnails(
    settings: Settings, ids: Sequence[str]
) -> Callable[[Sequence[int]], Mapping[int, NDArray[np.uint8]]]:
    def fetch(indices: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
        position = {ids[index]: index for index in indices}
        with read_session(settings) as session:
            rows = session.execute(
                select(Fingerprint.scan_id, Fingerprint.thumbnail, Fingerprint.height).where(
                    Fingerprint.scan_id.in_(position)
                )
            )
            return {
                position[scan]: np.frombuffer(data or b"", np.uint8).reshape(height or 0, -1)
                for scan, data, height in rows
            }

    return fetch


def _labels_and_splits(settings: Settings, ids: Sequence[str]) -> list[frozenset[tuple[str, str]]]:
    """Return the labels and given splits of each scan."""
    values: dict[str, set[tuple[str, str]]] = {}
    with read_session(settings) as session:
        rows = session.execute(
            select(BatchFile.scan_id, BatchFile.label, BatchFile.given_split)
            .where(BatchFile.scan_id.is_not(None))
            .distinct()
        )
        for scan, label, split in rows:
            values.setdefault(str(scan), set()).add((label or "", split or ""))
    return [frozenset(values.get(scan, ())) for scan in ids]
