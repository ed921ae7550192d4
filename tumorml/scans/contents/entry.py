"""The interface of a drop's contents, and the reasons for refusing a file in it."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

NOT_TEXT = "Its name is not UTF-8 text: rename it."
TOO_LARGE = "It is larger than {limit:,} bytes, the limit for one file."
OUTSIDE = "Its path leads out of the archive's own folder."
CHANGED = (
    "It was changed or removed after the drop was claimed; the current file in the inbox is "
    "ingested with the next batch."
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a drop.

    Attributes:
        path: The path in the drop, unique and printable.
        size: In bytes; None if unknown.
        refusal: Why the file must not be read; None if it may be read.
    """

    path: str
    size: int | None
    refusal: str | None = None


class ReadEntry(NamedTuple):
    """The result of reading one entry: its bytes, or the reason why it could not be read."""

    entry: Entry
    data: bytes | None
    failure: str | None


class Contents(Protocol):
    """The files of a drop. Listing and reading are independent and use the same order."""

    @property
    def entries(self) -> list[Entry]:
        """All files; listed on first access."""
        ...

    def read(self, paths: Container[str]) -> Iterator[ReadEntry]:
        """Read the entries with these paths, except those with a refusal."""
        ...
