"""What is in a drop: one way to list and read it, whether it is a folder or an archive."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from tumorml.errors import StoreRefusedError, TumorMLError
from tumorml.objects import ObjectStore
from tumorml.scans.inbox.claim import Claim, ClaimedFile
from tumorml.scans.inbox.names import archive_suffix, is_text
from tumorml.settings import Settings

NOT_TEXT = "Its name is not UTF-8 text: rename it."
TOO_LARGE = "It is larger than {limit:,} bytes, the most that is read of one file."
CHANGED = (
    "It changed or went away after the drop was claimed; what is in the inbox now is taken in "
    "with the next batch."
)


class DropRefusedError(TumorMLError):
    """The drop cannot be taken in at all; the message says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a drop: its path, unique in the drop, and why it must not be read, if so."""

    path: str
    size: int | None
    refusal: str | None = None


class Contents(Protocol):
    """A drop that can be listed, and can be read in the same order, each without the other."""

    @property
    def entries(self) -> list[Entry]:
        """Every file, listed when first asked for."""
        ...

    def read(self, wanted: Container[str]) -> Iterator[tuple[Entry, bytes | None, str | None]]:
        """The wanted entries without a refusal: with their bytes, or with why they have none."""
        ...


class FolderContents:
    """The files of a claimed folder, or one loose file, read from the inbox."""

    def __init__(self, store: ObjectStore, claim: Claim, settings: Settings) -> None:
        self._store = store
        self._claim = claim
        self._limit = settings.max_file_bytes

    @cached_property
    def entries(self) -> list[Entry]:
        """The claimed files; one that is not in the inbox any more as it was claimed is refused."""
        changed = changed_files(self._store, self._claim)
        return [
            replace(entry, refusal=CHANGED) if entry.path in changed else entry
            for entry in map(self._entry, self._claim.files)
        ]

    def _entry(self, file: ClaimedFile) -> Entry:
        return Entry(file.path, file.size, _refusal(file, self._limit))

    def read(self, wanted: Container[str]) -> Iterator[tuple[Entry, bytes | None, str | None]]:
        """The wanted entries with their bytes; see ``Contents``."""
        for file in self._claim.files:
            entry = self._entry(file)
            if entry.refusal or entry.path not in wanted:
                continue
            try:
                yield entry, self._store.read(file.key), None
            except FileNotFoundError:
                yield entry, None, CHANGED
            except StoreRefusedError:
                raise  # credentials that have run out say nothing of the file
            except PermissionError:
                yield entry, None, "It may not be read: give the service the right to read it."


def changed_files(store: ObjectStore, claim: Claim) -> set[str]:
    """Paths of the claimed files that are not in the inbox any more as they were claimed."""
    now = {stored.key: stored for stored in store.list(claim.drop_key)}
    if single := store.find(claim.drop_key):
        now[single.key] = single
    return {file.path for file in claim.files if not file.is_still(now.get(file.key))}


def is_archive(claim: Claim) -> bool:
    """Whether the drop is one archive that is read here."""
    return (
        len(claim.files) == 1
        and claim.files[0].key == claim.drop_key
        and claim.files[0].regular
        and archive_suffix(claim.drop_key) is not None
    )


def is_tar(claim: Claim) -> bool:
    """Whether the drop is an archive that can only be read from its start to its end."""
    return is_archive(claim) and archive_suffix(claim.drop_key) != ".zip"


@contextmanager
def open_contents(store: ObjectStore, claim: Claim, settings: Settings) -> Iterator[Contents]:
    """The contents of a claimed drop.

    Raises:
        DropRefusedError: There is nothing in it, or it is an archive that must not be unpacked.
    """
    from tumorml.scans.contents.tar_archive import TarContents
    from tumorml.scans.contents.zip_archive import ZipContents

    if not claim.files:
        raise DropRefusedError("The drop is empty: there is no file in it.")
    if not is_archive(claim):
        yield FolderContents(store, claim, settings)
        return
    if changed_files(store, claim):
        raise DropRefusedError(CHANGED)
    with store.open(claim.drop_key) as stream:
        yield TarContents(stream, settings) if is_tar(claim) else ZipContents(stream, settings)


def _refusal(file: ClaimedFile, limit: int) -> str | None:
    if not file.regular:
        return "It is a link, a pipe or a device, not a file: put the file itself in its place."
    if not is_text(file.key):
        return NOT_TEXT
    if file.size > limit:
        return TOO_LARGE.format(limit=limit)
    return None
