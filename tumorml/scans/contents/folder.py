"""Read the files of a dropped folder from the inbox."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import replace
from functools import cached_property

from tumorml.errors import StoreRefusedError
from tumorml.objects import ObjectStore
from tumorml.scans.contents.entry import CHANGED, NOT_TEXT, TOO_LARGE, Entry, ReadEntry
from tumorml.scans.inbox.claim import Claim, ClaimedFile
from tumorml.scans.inbox.names import is_text
from tumorml.settings import Settings


class FolderContents:
    """The files of a claimed folder, or one single file."""

    def __init__(self, store: ObjectStore, claim: Claim, settings: Settings) -> None:
        self._store = store
        self._claim = claim
        self._limit = settings.max_file_bytes

    @cached_property
    def entries(self) -> list[Entry]:
        """The claimed files; those changed or removed since the claim are refused."""
        changed = changed_files(self._store, self._claim)
        return [
            replace(entry, refusal=CHANGED) if entry.path in changed else entry
            for entry in map(self._entry, self._claim.files)
        ]

    def read(self, paths: Container[str]) -> Iterator[ReadEntry]:
        """Read the entries with these paths; see `Contents.read`."""
        for file in self._claim.files:
            entry = self._entry(file)
            if entry.refusal or entry.path not in paths:
                continue
            try:
                yield ReadEntry(entry, self._store.read(file.key), None)
            except FileNotFoundError:
                yield ReadEntry(entry, None, CHANGED)
            except StoreRefusedError:
                raise  # wrong credentials concern the whole store, not this file
            except PermissionError:
                reason = "Permission denied: give the service the right to read it."
                yield ReadEntry(entry, None, reason)

    def _entry(self, file: ClaimedFile) -> Entry:
        return Entry(file.path, file.size, _refusal(file, self._limit))


def changed_files(store: ObjectStore, claim: Claim) -> set[str]:
    """Return the paths of the claimed files that were changed in the inbox or removed from it."""
    current = {stored.key: stored for stored in store.list(claim.drop_key)}
    if single := store.find(claim.drop_key):
        current[single.key] = single
    return {file.path for file in claim.files if not file.is_unchanged(current.get(file.key))}


def _refusal(file: ClaimedFile, limit: int) -> str | None:
    if not file.regular:
        return "It is a link, a pipe or a device: replace it by a regular file."
    if not is_text(file.key):
        return NOT_TEXT
    if file.size > limit:
        return TOO_LARGE.format(limit=limit)
    return None
