"""List the drops that wait in the inbox."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tumorml.objects import ObjectStore, StoredObject, object_store
from tumorml.objects.keys import INBOX
from tumorml.scans.inbox.names import READY, printable
from tumorml.settings import Settings


@dataclass(frozen=True, slots=True)
class WaitingDrop:
    """A folder, an archive or a single file under ``inbox/``.

    Attributes:
        name: The name in the inbox, printable.
        fingerprint: SHA-256 over the names, sizes and versions of the files. The same files dropped
            again have another fingerprint, because their versions differ.
        complete: Whether the marker exists, or nothing has changed for ``settle_seconds``.
        files: The number of files.
        size_bytes: The total size of the files.
        newest: The time of the last change.
        key: The object key of the folder or file; a folder's files have keys below it.
        objects: The files in key order, without the marker.
        marker: The marker file ``_READY`` of a complete drop; None without one.
    """

    name: str
    fingerprint: str
    complete: bool
    files: int
    size_bytes: int
    newest: datetime
    key: str
    objects: tuple[StoredObject, ...]
    marker: StoredObject | None


def waiting_drops(settings: Settings) -> list[WaitingDrop]:
    """List all drops in the inbox, complete or not, by name. Reads no file."""
    store = object_store(settings)
    files: dict[str, list[StoredObject]] = {}
    markers: dict[str, StoredObject] = {}
    for stored in store.list(INBOX):
        first, slash, rest = stored.key.removeprefix(f"{INBOX}/").partition("/")
        key = f"{INBOX}/{first}"
        if slash and rest == READY:
            markers[key] = stored
        elif not slash and first == READY:
            continue  # a marker in the inbox itself belongs to no drop
        elif not slash and first.endswith(f".{READY}"):
            markers[key.removesuffix(f".{READY}")] = stored
        else:
            files.setdefault(key, []).append(stored)
    folders = _local_folders(store)
    now = datetime.now(UTC)
    drops = []
    for key in sorted({*files, *markers, *folders}):
        # Sorted, because the fingerprint must not depend on the order of a store's listing.
        objects = tuple(sorted(files.get(key, ()), key=lambda stored: stored.key))
        marker = markers.get(key)
        if not objects and marker and marker.key.endswith(f".{READY}"):
            continue  # the archive of this marker has not arrived yet
        times = [stored.modified for stored in objects] + ([marker.modified] if marker else [])
        if not objects and key in folders:
            times.append(_last_change(folders[key]))
        newest = max(times)
        versions = list(objects) or ([marker] if marker else [])
        drops.append(
            WaitingDrop(
                name=printable(key.removeprefix(f"{INBOX}/")),
                fingerprint=_fingerprint(versions, "" if versions else newest.isoformat()),
                complete=marker is not None
                or (now - newest).total_seconds() >= settings.settle_seconds,
                files=len(objects),
                size_bytes=sum(stored.size for stored in objects),
                newest=newest,
                key=key,
                objects=objects,
                marker=marker,
            )
        )
    return drops


def _fingerprint(objects: Iterable[StoredObject], salt: str) -> str:
    digest = hashlib.sha256(salt.encode())
    for stored in objects:
        line = f"{stored.key}\0{stored.size}\0{stored.version}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _local_folders(store: ObjectStore) -> dict[str, Path]:
    """Return the folders in a local inbox by key; listings of objects omit empty folders."""
    inbox = store.local_path(INBOX)
    if inbox is None or not inbox.is_dir():
        return {}
    with os.scandir(inbox) as entries:
        return {
            f"{INBOX}/{entry.name}": Path(entry.path)
            for entry in entries
            if entry.is_dir(follow_symlinks=False)
        }


def _last_change(folder: Path) -> datetime:
    times = [os.lstat(below).st_ctime for below, _, _ in os.walk(folder)]
    return datetime.fromtimestamp(max(times, default=0.0), UTC)
