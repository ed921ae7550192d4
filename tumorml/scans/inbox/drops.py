"""Drops that wait in the inbox: put one there, list them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from PIL import Image

from tumorml.errors import TumorMLError
from tumorml.objects import ObjectStore, StoredObject, object_store
from tumorml.objects.keys import INBOX
from tumorml.scans.images.decode import FORMATS
from tumorml.scans.inbox.names import READY, archive_suffix, printable
from tumorml.settings import Settings


@dataclass(frozen=True, slots=True)
class WaitingDrop:
    """A folder, an archive or a single file under ``inbox/``.

    The fingerprint is a SHA-256 over the names, sizes and versions of the files, so the same drop
    put there again is another drop; sizes are in bytes; ``newest`` is the last change.
    """

    name: str
    fingerprint: str
    complete: bool
    files: int
    size_bytes: int
    newest: datetime
    key: str
    """The folder or the file; a folder's files have keys below it."""
    objects: tuple[StoredObject, ...]
    """The files, in key order, without the marker that says that the drop is whole."""
    marker: StoredObject | None


def waiting_drops(settings: Settings) -> list[WaitingDrop]:
    """Everything that waits in the inbox, complete or not, by name; one listing, no file read."""
    store = object_store(settings)
    found: dict[str, list[StoredObject]] = {}
    markers: dict[str, StoredObject] = {}
    for stored in store.list(INBOX):
        first, slash, rest = stored.key.removeprefix(f"{INBOX}/").partition("/")
        key = f"{INBOX}/{first}"
        if slash and rest == READY:
            markers[key] = stored
        elif not slash and first == READY:
            continue
        elif not slash and first.endswith(f".{READY}"):
            markers[key.removesuffix(f".{READY}")] = stored
        else:
            found.setdefault(key, []).append(stored)
    folders = _local_folders(store)
    now = datetime.now(UTC)
    drops = []
    for key in sorted({*found, *markers, *folders}):
        # In an order of our own: the fingerprint must not hang on how a store lists.
        objects = tuple(sorted(found.get(key, ()), key=lambda stored: stored.key))
        marker = markers.get(key)
        if not objects and marker and marker.key.endswith(f".{READY}"):
            continue  # The marker of an archive that is not there (yet).
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


def put_drop(settings: Settings, path: Path, name: str | None = None) -> str:
    """Copy a folder, an archive or a single file into the inbox, marked as whole.

    A drop that waits is never written over: where the name is taken, ``name-2`` and so on is.

    Returns:
        The name of the drop, which for an archive ends with its suffix.

    Raises:
        TumorMLError: There is nothing at the path, it is neither an archive nor an image, or the
            name cannot be a drop's.
    """
    path = path.expanduser()
    if not path.exists():
        raise TumorMLError(f"There is nothing at {path}: give a folder, a zip or a tar to drop.")
    is_folder = path.is_dir()
    if not is_folder and archive_suffix(path.name) is None:
        _check_is_image(path)
    suffix = "" if is_folder else archive_suffix(path.name) or path.suffix
    stem = name if name is not None else path.resolve().name
    stem = stem if is_folder else stem.removesuffix(suffix)
    if not stem or "/" in stem or "\\" in stem or stem.startswith(".") or stem.endswith(READY):
        raise TumorMLError(
            f"{name or path.name!r} cannot name a drop: use one name without slashes, that does "
            f"not begin with a dot or end with {READY}."
        )
    store = object_store(settings)
    files = list(_files_below(path)) if is_folder else []
    for number in count(1):
        numbered = f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}"
        key = f"{INBOX}/{numbered}"
        if is_folder and _reserve(store, key):
            for source, relative in files:
                target = relative if store.local_path(key) else printable(relative)
                store.write_file(f"{key}/{target}", source)
            store.write(f"{key}/{READY}", b"")
            return numbered
        if not is_folder and not any(_is_taken(store, k) for k in (key, f"{key}.{READY}")):
            try:
                store.write_file(key, path, overwrite=False)
            except FileExistsError:
                continue
            store.write(f"{key}.{READY}", b"")
            return numbered
    raise AssertionError("unreachable")


def _check_is_image(path: Path) -> None:
    try:
        with Image.open(path, formats=FORMATS):
            return
    except Exception:  # Whatever a decoder says of it, it cannot be taken in.
        raise TumorMLError(
            f"{path} is neither a folder, nor a zip or a tar, nor an image: nothing is dropped."
        ) from None


def _fingerprint(objects: Iterable[StoredObject], salt: str) -> str:
    digest = hashlib.sha256(salt.encode())
    for stored in objects:
        line = f"{stored.key}\0{stored.size}\0{stored.version}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _local_folders(store: ObjectStore) -> dict[str, Path]:
    """The folders directly under a local inbox, by key: an empty one is in no listing of files."""
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


def _is_taken(store: ObjectStore, key: str) -> bool:
    return store.exists(key) or next(iter(store.list(key)), None) is not None


def _reserve(store: ObjectStore, key: str) -> bool:
    """Whether the folder is free; on a local disk it is made at once, so that no other takes it."""
    folder = store.local_path(key)
    if folder is None:
        return not _is_taken(store, key)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _files_below(folder: Path) -> Iterator[tuple[Path, str]]:
    for below, folders, names in os.walk(folder):
        for link in (Path(below, name) for name in folders if Path(below, name).is_symlink()):
            raise TumorMLError(f"{link} is a link to a folder: put the folder itself in its place.")
        folders.sort()
        for name in sorted(names):
            source = Path(below, name)
            if not source.is_file():
                raise TumorMLError(f"{source} is not a file that can be copied: take it out.")
            yield source, source.relative_to(folder).as_posix()
