"""The object store in a folder of a local or network file system."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from tumorml.errors import MissingObjectError
from tumorml.files import is_temporary, temporary_beside
from tumorml.objects.store import ObjectStore, StoredObject, check_key


class LocalObjects(ObjectStore):
    """Objects as files in a folder; the key is the relative path."""

    def __init__(self, url: str) -> None:
        self._root = os.path.abspath(url.removeprefix("file://"))

    def _path(self, key: str) -> str:
        check_key(key)
        return f"{self._root}/{key}"

    def local_path(self, key: str) -> Path | None:
        """Return the object's path."""
        return Path(self._path(key))

    def display(self, key: str) -> str:
        """Return the object's path."""
        return self._path(key)

    def exists(self, key: str) -> bool:
        """Return whether an object or a folder has this key."""
        return os.path.lexists(self._path(key))

    def find(self, key: str) -> StoredObject | None:
        """Return the object with this key; see `ObjectStore.find`."""
        path = self._path(key)
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if stat.S_ISDIR(status.st_mode) else self._stored(path, status)

    def read(self, key: str) -> bytes:
        """Return the object's bytes; see `ObjectStore.read`."""
        try:
            return Path(self._path(key)).read_bytes()
        except FileNotFoundError as error:
            raise MissingObjectError(
                f"{self.display(key)} is not in the object store: restore it from a backup."
            ) from error

    def open(self, key: str) -> IO[bytes]:
        """Open the file."""
        return Path(self._path(key)).open("rb")

    def write(self, key: str, data: bytes) -> None:
        """Write bytes to a key with one rename."""
        path = Path(self._path(key))
        temporary = temporary_beside(path)
        temporary.write_bytes(data)
        temporary.replace(path)

    def write_file(self, key: str, source: Path, *, overwrite: bool = True) -> None:
        """Copy a local file to a key; see `ObjectStore.write_file`."""
        path = self._path(key)
        temporary = temporary_beside(Path(path))
        try:
            shutil.copyfile(source, temporary)
            if overwrite:
                os.replace(temporary, path)
            else:
                _link_new(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def move(self, source: str, target: str) -> None:
        """Move one object with one rename."""
        path = Path(self._path(target))
        path.parent.mkdir(parents=True, exist_ok=True)
        Path(self._path(source)).replace(path)

    def remove(self, key: str) -> None:
        """Remove one object; see `ObjectStore.remove`."""
        Path(self._path(key)).unlink(missing_ok=True)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield every object in a folder; subfolders come last, and names are sorted."""
        folders = [self._path(prefix)]
        while folders:
            try:
                entries = sorted(os.scandir(folders.pop()), key=lambda entry: entry.name)
            except (FileNotFoundError, NotADirectoryError):
                continue
            subfolders = []
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    subfolders.append(entry.path)
                elif not is_temporary(entry.name):
                    try:
                        yield self._stored(entry.path, entry.stat(follow_symlinks=False))
                    except FileNotFoundError:
                        continue
            folders += reversed(subfolders)

    def _stored(self, path: str, status: os.stat_result) -> StoredObject:
        return StoredObject(
            key=path[len(self._root) + 1 :],
            size=status.st_size,
            version=f"{status.st_mtime_ns}-{status.st_ctime_ns}",
            modified=datetime.fromtimestamp(status.st_ctime, UTC),
            regular=stat.S_ISREG(status.st_mode),
        )

    def remove_empty_folders(self, prefix: str) -> None:
        """Remove empty folders at and below a prefix."""
        root = Path(self._path(prefix))
        if not root.is_dir():
            return
        for folder, _, _ in os.walk(root, topdown=False):
            try:
                Path(folder).rmdir()
            except OSError:
                continue


def _link_new(temporary: Path, path: str) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # the file system has no hard links
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        os.replace(temporary, path)
