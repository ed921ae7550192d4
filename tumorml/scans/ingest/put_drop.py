"""Copy a folder, an archive or an image into the inbox."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from tumorml.errors import TumorMLError
from tumorml.objects import ObjectStore, object_store
from tumorml.objects.keys import drop_key
from tumorml.scans.images.decode import count_pixels
from tumorml.scans.inbox.names import READY, archive_suffix, printable
from tumorml.settings import Settings


def put_drop(settings: Settings, path: Path, name: str | None = None) -> str:
    """Copy a folder, an archive or a single image into the inbox and mark the drop as complete.

    A waiting drop is never overwritten: if the name is taken, ``name-2`` is used, and so on.

    Args:
        settings: The object store and its credentials.
        path: The folder, archive or image to copy.
        name: Name of the drop; None for the name of the path.

    Returns:
        The name of the drop; for an archive it includes the suffix.

    Raises:
        TumorMLError: The path does not exist, or is not a folder, an archive or an image; or the
            name is not allowed for a drop.
    """
    path = path.expanduser()
    if not path.exists():
        raise TumorMLError(f"{path} does not exist: give a folder, a zip or a tar to drop.")
    is_folder = path.is_dir()
    if not is_folder and archive_suffix(path.name) is None:
        _check_is_image(path)
    suffix = "" if is_folder else archive_suffix(path.name) or path.suffix
    stem = name if name is not None else path.resolve().name
    stem = stem if is_folder else stem.removesuffix(suffix)
    if not stem or "/" in stem or "\\" in stem or stem.startswith(".") or stem.endswith(READY):
        raise TumorMLError(
            f"{name or path.name!r} cannot be the name of a drop: use a name without slashes that "
            f"does not begin with a dot or end with {READY}."
        )
    store = object_store(settings)
    files = list(_files_below(path)) if is_folder else []
    for number in count(1):
        numbered = f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}"
        key = drop_key(numbered)
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
    is_image = False
    if path.is_file():
        with path.open("rb") as stream:
            is_image = count_pixels(stream) > 0
    if not is_image:
        raise TumorMLError(
            f"{path} is not a folder, a zip, a tar or an image: give one of these to drop."
        )


def _is_taken(store: ObjectStore, key: str) -> bool:
    return store.exists(key) or next(iter(store.list(key)), None) is not None


def _reserve(store: ObjectStore, key: str) -> bool:
    """Return whether the folder is free.

    On a local disk the folder is created immediately, so that no other process can use the name.
    """
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
    """Yield each file and its path relative to the folder."""
    for below, folders, names in os.walk(folder):
        for link in (Path(below, name) for name in folders if Path(below, name).is_symlink()):
            raise TumorMLError(f"{link} is a link to a folder: replace it by the folder itself.")
        folders.sort()
        for name in sorted(names):
            source = Path(below, name)
            if not source.is_file():
                raise TumorMLError(f"{source} is not a regular file: remove it from the folder.")
            yield source, source.relative_to(folder).as_posix()
