"""The object store behind one URL: ``file://`` or ``s3://``, by fsspec.

Keys are relative POSIX paths such as ``scans/ab/ab12....png``; nothing outside this module joins a
key to a URL.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fsspec

from tumorml.errors import TumorMLError
from tumorml.settings import Settings


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One listed object: its key, its size in bytes, and a token that changes when it does."""

    key: str
    size: int
    version: str
    modified: datetime


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
        return bool(self._filesystem.exists(self._path(key)))

    def read(self, key: str) -> bytes:
        """The object's bytes.

        Raises:
            FileNotFoundError: No object has this key.
        """
        return bytes(self._filesystem.cat_file(self._path(key)))

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
        os.replace(temporary, path)

    def write_file(self, key: str, source: Path) -> None:
        """Put a local file's bytes under a key, streamed."""
        path = self._path(key)
        target = str(self._temporary_beside(path)) if self._is_local else path
        self._filesystem.put_file(str(source), target)
        if self._is_local:
            os.replace(target, path)

    def copy(self, source: str, target: str) -> None:
        """Copy one object within the store."""
        path = self._path(target)
        staging = str(self._temporary_beside(path)) if self._is_local else path
        self._filesystem.copy(self._path(source), staging)
        if self._is_local:
            os.replace(staging, path)

    def move(self, source: str, target: str) -> None:
        """Move one object; on a local disk in one rename."""
        path = self._path(target)
        if self._is_local:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._path(source), path)
        else:
            self._filesystem.copy(self._path(source), path)
            self._filesystem.rm_file(self._path(source))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every object under a prefix, as a folder, in key order."""
        try:
            found: dict[str, dict[str, Any]] = self._filesystem.find(
                self._path(prefix), detail=True
            )
        except FileNotFoundError:
            return
        for path in sorted(found):
            info = found[path]
            key = path[len(self._root) + 1 :]
            modified = info.get("mtime", info.get("LastModified"))
            if not isinstance(modified, datetime):
                modified = datetime.fromtimestamp(float(modified or 0), UTC)
            version = str(info.get("ETag") or f"{modified.timestamp():.6f}")
            yield StoredObject(key, int(info["size"] or 0), version, modified)

    def remove_empty_folders(self, prefix: str) -> None:
        """Remove the folders under and at a prefix that hold nothing; a no-op where there are none."""
        root = self.local_path(prefix)
        if root is None or not root.is_dir():
            return
        for folder, _, _ in os.walk(root, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                continue

    @staticmethod
    def _temporary_beside(path: str) -> Path:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.with_name(f".{target.name[:100]}.{uuid.uuid4().hex}.part")


def object_store(settings: Settings) -> ObjectStore:
    """The object store that the settings name."""
    return ObjectStore(settings.objects_url)
