"""Open a folder, zip or tar on this machine as the contents of a drop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tumorml.errors import TumorMLError
from tumorml.objects.local import LocalObjects
from tumorml.scans.contents.entry import Contents
from tumorml.scans.contents.folder import FolderContents
from tumorml.scans.contents.tar_archive import TarContents
from tumorml.scans.contents.zip_archive import ZipContents
from tumorml.scans.inbox.claim import Claim, ClaimedFile
from tumorml.scans.inbox.names import READY, archive_suffix, printable, unique
from tumorml.settings import Settings


@contextmanager
def open_set(path: Path, settings: Settings) -> Iterator[Contents]:
    """Open a folder, zip or tar for reading.

    Raises:
        TumorMLError: The path does not exist, is none of these, or cannot be read.
    """
    path = path.expanduser().resolve()
    if not path.exists():
        raise TumorMLError(f"{path} does not exist. Give a folder, a zip or a tar of scans.")
    if path.is_dir():
        yield _folder(path, settings)
        return
    suffix = archive_suffix(path.name)
    if suffix is None or not path.is_file():
        raise TumorMLError(f"{path} is not a folder, a zip or a tar. Give one of these.")
    try:
        stream = path.open("rb")
    except PermissionError as error:
        raise TumorMLError(f"{path} cannot be read: {error.strerror}.") from error
    with stream:
        yield ZipContents(stream, settings) if suffix == ".zip" else TarContents(stream, settings)


def _folder(path: Path, settings: Settings) -> Contents:
    store = LocalObjects(str(path.parent))
    used_names: set[str] = set()
    files = tuple(
        ClaimedFile(
            key=stored.key,
            size=stored.size,
            version=stored.version,
            regular=stored.regular,
            path=unique(printable(stored.key.removeprefix(f"{path.name}/")), used_names),
        )
        for stored in (store.list(path.name) if path.name else ())
        if stored.key != f"{path.name}/{READY}"
    )
    if not files:
        raise TumorMLError(f"The folder {path} contains no files.")
    return FolderContents(store, Claim(path.name, files, None), settings)
