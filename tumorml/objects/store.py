"""What every object store can do, wherever the bytes lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO


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


class ObjectStore(ABC):
    """Reads, writes, lists and moves objects by key.

    A write is visible whole or not at all, also on a local disk; doing any of it again after a
    crash ends as doing it once. A store that cannot be reached is waited for; when that patience
    ends any call may raise a `StoreUnreachableError`, and a `TumorMLError` where the settings are
    wrong.
    """

    @abstractmethod
    def local_path(self, key: str) -> Path | None:
        """The object's path where the store is a local folder, else None."""

    @abstractmethod
    def display(self, key: str) -> str:
        """What to show a person: a path for a local store, a URL otherwise."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether an object has this key; on a local disk also a folder."""

    @abstractmethod
    def find(self, key: str) -> StoredObject | None:
        """What ``list`` would say of the one object with this key."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """The object's bytes.

        Raises:
            MissingObjectError: No object has this key.
        """

    @abstractmethod
    def open(self, key: str) -> IO[bytes]:
        """The object as a seekable binary stream.

        Raises:
            FileNotFoundError: No object has this key; so may its reads, once it was changed.
        """

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Put bytes under a key, over whatever was there."""

    @abstractmethod
    def write_file(self, key: str, source: Path, *, overwrite: bool = True) -> None:
        """Put a local file's bytes under a key, streamed.

        Raises:
            FileExistsError: The key is taken, and ``overwrite`` is off.
        """

    @abstractmethod
    def move(self, source: str, target: str) -> None:
        """Move one object over whatever was there.

        Raises:
            FileNotFoundError: No object has the key ``source``.
        """

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove one object; one that is not there is removed."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every object under a prefix, as a folder, without writes in progress.

        They come as they are found, folder by folder or key by key: no order is promised.
        """

    @abstractmethod
    def remove_empty_folders(self, prefix: str) -> None:
        """Remove the folders at and under a prefix that hold nothing, where there are folders."""

    def holds_same(self, one: str, other: str) -> bool:
        """Whether two objects have the same bytes; in constant memory.

        Raises:
            FileNotFoundError: One of them is not there.
        """
        with self.open(one) as first, self.open(other) as second:
            while chunk := first.read(_CHUNK_BYTES):
                if second.read(len(chunk)) != chunk:
                    return False
            return not second.read(1)


_CHUNK_BYTES = 1024**2


def check_key(key: str) -> None:
    """Refuse what is no key.

    Raises:
        ValueError: It is empty, absolute, or leads upwards.
    """
    parts = PurePosixPath(key).parts
    if not parts or key.startswith("/") or ".." in parts:
        raise ValueError(f"not an object key: {key!r}")
