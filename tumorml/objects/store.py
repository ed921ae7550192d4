"""The interface of an object store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One listed object.

    Attributes:
        key: The key.
        size: In bytes.
        version: A token that changes whenever the object changes.
        modified: The time of the last change. On a local disk it is the change time of the inode,
            which copying tools cannot set, so an unpacked file with an old date counts as new.
        regular: False for a link, a pipe or a device on a local disk, which can be moved but must
            not be opened.
    """

    key: str
    size: int
    version: str
    modified: datetime
    regular: bool = True


class ObjectStore(ABC):
    """Reads, writes, lists and moves objects by key.

    Writes are atomic, also on a local disk, and all operations are idempotent. While the store
    cannot be reached, every call is retried; after the configured patience it raises
    `StoreUnreachableError`. If a setting is wrong, it raises `TumorMLError`.
    """

    @abstractmethod
    def local_path(self, key: str) -> Path | None:
        """Return the object's path if the store is a local folder, else None."""

    @abstractmethod
    def display(self, key: str) -> str:
        """Return the object's location for messages: a path in a local store, else a URL."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Return whether an object has this key; on a local disk also a folder."""

    @abstractmethod
    def find(self, key: str) -> StoredObject | None:
        """Return the object with this key, with the same fields as from `list`, or None."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Return the object's bytes.

        Raises:
            MissingObjectError: No object has this key.
        """

    @abstractmethod
    def open(self, key: str) -> IO[bytes]:
        """Open the object as a seekable binary stream.

        Raises:
            FileNotFoundError: No object has this key. In a bucket, reads also raise it once the
                object has been overwritten.
        """

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Write bytes to a key, replacing an existing object."""

    @abstractmethod
    def write_file(self, key: str, source: Path, *, overwrite: bool = True) -> None:
        """Copy a local file to a key without loading it into memory.

        Raises:
            FileExistsError: An object has this key, and ``overwrite`` is false.
        """

    @abstractmethod
    def move(self, source: str, target: str) -> None:
        """Move one object, replacing an existing one.

        Raises:
            FileNotFoundError: No object has the key ``source``.
        """

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove one object; a missing object is not an error."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield every object in the folder ``prefix``, without unfinished writes.

        The order is unspecified: some stores list by key, others folder by folder.
        """

    @abstractmethod
    def remove_empty_folders(self, prefix: str) -> None:
        """Remove empty folders at and below a prefix; does nothing in a store without folders."""

    def are_identical(self, one: str, other: str) -> bool:
        """Return whether two objects have the same bytes, in constant memory.

        Raises:
            FileNotFoundError: One of them does not exist.
        """
        with self.open(one) as first, self.open(other) as second:
            while chunk := first.read(_CHUNK_BYTES):
                if second.read(len(chunk)) != chunk:
                    return False
            return not second.read(1)


_CHUNK_BYTES = 1024**2


def check_key(key: str) -> None:
    """Check that a string is an object key.

    Raises:
        ValueError: The key is empty, absolute, or contains ``..``.
    """
    parts = PurePosixPath(key).parts
    if not parts or key.startswith("/") or ".." in parts:
        raise ValueError(f"not an object key: {key!r}")
