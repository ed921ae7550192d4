"""A document made of sections and blocks, rendered as HTML and as PDF.

All text is plain; the renderers escape it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One or more sentences. A text of several lines is rendered as a list.

    Attributes:
        tone: A ``warning`` is highlighted, ``quiet`` text is gray.
    """

    kind: ClassVar = "paragraph"
    text: str
    tone: Literal["plain", "quiet", "warning"] = "plain"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under headings.

    Attributes:
        headings: One for each column.
        rows: Cells. The second line of a number's cell is its interval.
        words: Number of columns, from the left, that hold words; the others hold numbers.
        title: Shown above the table unless it is empty.
    """

    kind: ClassVar = "table"
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    title: str = ""

    def on_one_line(self) -> Table:
        """Return the table with each interval beside its number instead of below it."""
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
    """A PNG with a caption; ``png`` is None if the picture is missing."""

    png: bytes | None
    caption: str


@dataclass(frozen=True, slots=True)
class Pictures:
    """A grid of pictures.

    Attributes:
        columns: Number of pictures in a row.
    """

    kind: ClassVar = "pictures"
    pictures: Sequence[Picture]
    columns: int = 1


@dataclass(frozen=True, slots=True)
class Code:
    """The text of a file, unchanged."""

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
        title: Title of the document.
        outcome: The result in one word, such as ``promoted``.
        headline: The result in one sentence.
        reason: Reason for the result.
        byline: Task, recipe, seed and time.
        sections: In reading order.
    """

    title: str
    outcome: str
    headline: str
    reason: str
    byline: str
    sections: Sequence[Section]
