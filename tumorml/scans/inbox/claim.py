"""Claim complete drops: each becomes a batch with a fixed list of files."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from tumorml.objects import ObjectStore, StoredObject, object_store
from tumorml.objects.keys import INBOX, claim_key
from tumorml.results.session import transaction_lock, write_session
from tumorml.results.tables import Batch
from tumorml.scans.inbox.drops import WaitingDrop, waiting_drops
from tumorml.scans.inbox.names import printable, unique
from tumorml.settings import Settings


@dataclass(frozen=True, slots=True)
class ClaimedFile:
    """One file of a drop as it was when the drop was claimed."""

    key: str
    size: int
    version: str
    regular: bool
    path: str
    """The path in the drop, printable and unique in the batch."""

    def is_unchanged(self, stored: StoredObject | None) -> bool:
        """Return whether the stored object is still the claimed one; None for a removed object."""
        return stored is not None and (stored.size, stored.version) == (self.size, self.version)


@dataclass(frozen=True, slots=True)
class Claim:
    """The files that belong to a batch. Files that arrive later belong to another batch."""

    drop_key: str
    files: tuple[ClaimedFile, ...]
    marker: ClaimedFile | None


def claim_drops(settings: Settings) -> list[str]:
    """Create a batch for each complete drop.

    A drop waits until the earlier batch of the same name is finished, because that batch may still
    have files to move out of the inbox.

    Returns:
        The ids of all unfinished batches, oldest first.
    """
    store = object_store(settings)
    unfinished = select(Batch).where(Batch.finished_at.is_(None))
    with write_session(settings) as session:
        transaction_lock(session, "claim drops")
        # Queried before the inbox is listed: if a batch finished between listing and query, files
        # that it has just moved would be claimed again.
        busy = {batch.drop_name for batch in session.scalars(unfinished)}
        for drop in waiting_drops(settings):
            if not drop.complete or drop.name in busy:
                continue
            added = session.execute(
                insert(Batch)
                .values(id=_batch_id(drop), drop_name=drop.name, fingerprint=drop.fingerprint)
                .on_conflict_do_nothing()
                .returning(Batch.id)
            ).scalar()
            if added:
                _write_claim(store, added, drop)
        return [b.id for b in session.scalars(unfinished.order_by(Batch.claimed_at, Batch.id))]


def read_claim(store: ObjectStore, batch_id: str) -> Claim:
    """Read the claim of a batch from the object store."""
    stored = json.loads(store.read(claim_key(batch_id)))
    marker = stored["marker"]
    return Claim(
        drop_key=stored["drop_key"],
        files=tuple(ClaimedFile(**file) for file in stored["files"]),
        marker=ClaimedFile(**marker) if marker else None,
    )


def _write_claim(store: ObjectStore, batch_id: str, drop: WaitingDrop) -> None:
    taken: set[str] = set()
    claim = Claim(
        drop_key=drop.key,
        files=tuple(_claimed(stored, drop, taken) for stored in drop.objects),
        marker=_claimed(drop.marker, drop, taken) if drop.marker else None,
    )
    # ASCII JSON keeps lone surrogates, which encode the bytes of names that are not UTF-8.
    store.write(claim_key(batch_id), json.dumps(asdict(claim)).encode())


def _claimed(stored: StoredObject, drop: WaitingDrop, taken: set[str]) -> ClaimedFile:
    in_folder = stored.key.startswith(f"{drop.key}/")
    path = stored.key.removeprefix(f"{drop.key}/" if in_folder else f"{INBOX}/")
    return ClaimedFile(
        key=stored.key,
        size=stored.size,
        version=stored.version,
        regular=stored.regular,
        path=unique(printable(path), taken),
    )


def _batch_id(drop: WaitingDrop) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", drop.name.lower()).strip("-")[:40].strip("-") or "drop"
    return f"b-{datetime.now(UTC):%Y%m%d-%H%M%S}-{slug}-{drop.fingerprint[:6]}"
