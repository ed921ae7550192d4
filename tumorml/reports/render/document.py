"""A document as sections of blocks, which the page and the PDF show each in its own way.

All texts are plain: what shows them escapes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Sentences; a ``warning`` stands out, a ``quiet`` one steps back; several lines are a list."""

    kind: ClassVar = "paragraph"
    text: str
    tone: Literal["plain", "quiet", "warning"] = "plain"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under headings.

    Attributes:
        headings: One for each column.
        rows: Cells; a line break in one starts a new line.
        words: So many columns, from the left, hold words; the others hold numbers.
        title: Stands above it, where there is one.
    """

    kind: ClassVar = "table"
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    title: str = ""

    def on_one_line(self) -> Table:
        """The same with each interval beside its number, not under it."""
        rows = [
            [
                f"{value} ({small})" if small else value
                for value, _, small in (text.partition("\n") for text in row)
            ]
            for row in self.rows
        ]
        return replace(self, rows=rows)


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG and what it shows; ``png`` is None where the picture is missing."""

    png: bytes | None
    caption: str


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures side by side, at most so many in a row."""

    kind: ClassVar = "pictures"
    pictures: Sequence[Picture]
    columns: int = 1


@dataclass(frozen=True, slots=True)
class Code:
    """A file's text as it is."""

    kind: ClassVar = "code"
    title: str
    text: str


Block = Paragraph | Table | Pictures | Code


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks under a heading."""

    title: str
    blocks: Sequence[Block] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Document:
    """A document.

    Attributes:
        title: Of the whole.
        outcome: The word that counts most,
        headline: what that means, and
        reason: why.
        byline: Of what it is about.
        sections: In order.
    """

    title: str
    outcome: str
    headline: str
    reason: str
    byline: str
    sections: Sequence[Section]
