"""The object store behind one URL: ``file://`` or ``s3://``, by fsspec.

Keys are relative POSIX paths such as ``scans/ab/ab12....png``; nothing outside this module joins a
key to a URL.
"""

from __future__ import annotations

import logging
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fsspec

from tumorml.errors import MissingObjectError, TumorMLError
from tumorml.settings import Settings

log = logging.getLogger(__name__)

_TEMPORARY_NAME = re.compile(r"\..*\.[0-9a-f]{32}\.part", re.DOTALL)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One listed object: its key, its size in bytes, and a token that changes when it does.

    On a local disk ``modified`` is the time of the inode's last change, which copying tools cannot
    set, so that an unpacked file with an old date still counts as new.
    """

    key: str
    size: int
    version: str
    modified: datetime
    regular: bool = True
    """False for a link, a pipe or a device on a local disk: it can be moved, never opened."""


class ObjectStore:
    """Reads, writes, lists and moves objects by key.

    A write is visible whole or not at all, also on a local disk.
    """

    def __init__(self, url: str) -> None:
        try:
            self._filesystem, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise TumorMLError(f"The object store URL {url!r} cannot be used: {error}") from error
        self.url = url.rstrip("/")
        self._root = str(root).rstrip("/")
        protocol = self._filesystem.protocol
        self._is_local = "file" in (protocol if isinstance(protocol, tuple) else (protocol,))

    def _path(self, key: str) -> str:
        parts = PurePosixPath(key).parts
        if not parts or key.startswith("/") or ".." in parts:
            raise ValueError(f"not an object key: {key!r}")
        return f"{self._root}/{key}"

    def local_path(self, key: str) -> Path | None:
        """The object's path where the store is a local folder, else None."""
        return Path(self._path(key)) if self._is_local else None

    def display(self, key: str) -> str:
        """What to show a person: a path for a local store, a URL otherwise."""
        return self._path(key) if self._is_local else f"{self.url}/{key}"

    def exists(self, key: str) -> bool:
        """Whether an object or a folder has this key."""
        path = self._path(key)
        return os.path.lexists(path) if self._is_local else bool(self._filesystem.exists(path))

    def read(self, key: str) -> bytes:
        """The object's bytes.

        Raises:
            MissingObjectError: No object has this key.
        """
        try:
            return bytes(self._filesystem.cat_file(self._path(key)))
        except FileNotFoundError as error:
            raise MissingObjectError(
                f"{self.display(key)} is not in the object store; bring it back from a backup."
            ) from error

    def open(self, key: str) -> IO[bytes]:
        """The object as a seekable binary stream."""
        return self._filesystem.open(self._path(key), "rb")  # type: ignore[no-any-return]

    def write(self, key: str, data: bytes) -> None:
        """Put bytes under a key, over whatever was there."""
        path = self._path(key)
        if not self._is_local:
            self._filesystem.pipe_file(path, data)
            return
        temporary = self._temporary_beside(path)
        temporary.write_bytes(data)
        temporary.replace(path)

    def write_file(self, key: str, source: Path, *, overwrite: bool = True) -> None:
        """Put a local file's bytes under a key, streamed.

        Raises:
            FileExistsError: The key is taken, and ``overwrite`` is off.
        """
        path = self._path(key)
        if not self._is_local:
            mode = "overwrite" if overwrite else "create"
            self._filesystem.put_file(str(source), path, mode=mode)
            return
        temporary = self._temporary_beside(path)
        try:
            self._filesystem.put_file(str(source), str(temporary))
            if overwrite:
                os.replace(temporary, path)
            else:
                _link_new(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def move(self, source: str, target: str) -> None:
        """Move one object; on a local disk in one rename."""
        path = self._path(target)
        if self._is_local:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(self._path(source)).replace(path)
        else:
            self._filesystem.cp_file(self._path(source), path)
            self._filesystem.rm_file(self._path(source))

    def remove(self, key: str) -> None:
        """Remove one object."""
        self._filesystem.rm_file(self._path(key))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every object under a prefix, as a folder, in key order; without writes in progress."""
        found = self._local_objects(prefix) if self._is_local else self._remote_objects(prefix)
        for stored in sorted(found, key=lambda stored: stored.key):
            if not _TEMPORARY_NAME.fullmatch(PurePosixPath(stored.key).name):
                yield stored

    def _local_objects(self, prefix: str) -> Iterator[StoredObject]:
        folders = [self._path(prefix)]
        while folders:
            try:
                entries = list(os.scandir(folders.pop()))
            except (FileNotFoundError, NotADirectoryError):
                continue
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield StoredObject(
                    key=entry.path[len(self._root) + 1 :],
                    size=status.st_size,
                    version=f"{status.st_mtime_ns}-{status.st_ctime_ns}",
                    modified=datetime.fromtimestamp(status.st_ctime, UTC),
                    regular=entry.is_file(follow_symlinks=False),
                )

    def _remote_objects(self, prefix: str) -> Iterator[StoredObject]:
        try:
            found: dict[str, dict[str, Any]] = self._filesystem.find(
                self._path(prefix), detail=True
            )
        except FileNotFoundError:
            return
        for path, info in found.items():
            key = path[len(self._root) + 1 :]
            if ".." in PurePosixPath(key).parts:
                log.warning("%s is left out: a key with '..' in it cannot be used", key)
                continue
            modified = info.get("LastModified", info.get("created"))
            if not isinstance(modified, datetime):
                modified = datetime.fromtimestamp(float(modified or 0), UTC)
            version = f"{info.get('ETag', '')}-{modified.timestamp():.3f}"
            yield StoredObject(key, int(info["size"] or 0), version, modified)

    def remove_empty_folders(self, prefix: str) -> None:
        """Remove the folders at and under a prefix that hold nothing."""
        root = self.local_path(prefix)
        if root is None or not root.is_dir():
            return
        for folder, _, _ in os.walk(root, topdown=False):
            try:
                Path(folder).rmdir()
            except OSError:
                continue

    @staticmethod
    def _temporary_beside(path: str) -> Path:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.with_name(f".{target.name[:100]}.{uuid.uuid4().hex}.part")


def _link_new(temporary: Path, path: str) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # A file system without hard links.
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        os.replace(temporary, path)


def object_store(settings: Settings) -> ObjectStore:
    """The object store that the settings name."""
    return ObjectStore(settings.objects_url)
