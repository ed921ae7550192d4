"""Slides of 13.33 x 7.5 inches, on which text and tables shrink until they fit their boxes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib import get_data_path
from PIL import Image, ImageFont
from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.util import Emu, Inches, Pt

from tumorml.reports.document import Picture, Table

FONT = "Arial"
INK, QUIET, BLUE, WARNING = (
    RGBColor.from_string(h) for h in ("1B1F24", "59636E", "0072B2", "8A5A00")
)
LINE_SPACING = 1.2
LEAST_POINTS = 7
_CELL_MARGIN_POINTS = 4
_WIDEST_COLUMN = 32  # in multiples of the font size


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on a slide, in inches from the upper left corner."""

    left: float
    top: float
    width: float
    height: float

    @property
    def place(self) -> tuple[Emu, Emu, Emu, Emu]:
        """Left, top, width and height for python-pptx."""
        return Inches(self.left), Inches(self.top), Inches(self.width), Inches(self.height)

    def columns(self, count: int, gap: float = 0.2) -> list[Box]:
        """Split the box into boxes of equal width, with gaps in inches."""
        width = (self.width - gap * (count - 1)) / count
        return [
            Box(self.left + column * (width + gap), self.top, width, self.height)
            for column in range(count)
        ]

    def rows(self, count: int, gap: float = 0.1) -> list[Box]:
        """Split the box into boxes of equal height, with gaps in inches."""
        height = (self.height - gap * (count - 1)) / count
        return [
            Box(self.left, self.top + row * (height + gap), self.width, height)
            for row in range(count)
        ]


BODY = Box(0.6, 1.35, 12.13, 5.45)


class Slides:
    """A slide deck under construction; methods draw on the newest slide."""

    def __init__(self, footer: str) -> None:
        self._deck = Presentation()
        self._deck.slide_width, self._deck.slide_height = Inches(13.333), Inches(7.5)
        self._footer = footer
        self._slide: Any = None

    def add(self, title: str) -> None:
        """Add a slide with a title, the footer and the slide number."""
        self._slide = self._deck.slides.add_slide(self._deck.slide_layouts[5])
        heading = self._slide.shapes.title
        heading.left, heading.top, heading.width, heading.height = Box(0.6, 0.4, 12.13, 0.75).place
        _write(heading.text_frame, [title], 28, INK, bold=True)
        number = f"{len(self._deck.slides)}"
        self.text([f"{self._footer}   {number}"], Box(0.6, 6.95, 12.13, 0.35), 10, QUIET)

    def text(
        self,
        lines: Sequence[str],
        box: Box = BODY,
        largest: int = 24,
        color: RGBColor = INK,
        *,
        bullets: bool = False,
    ) -> None:
        """Write paragraphs in the largest font that fits, at most ``largest`` points."""
        frame = self._slide.shapes.add_textbox(*box.place).text_frame
        paragraphs = [f"\N{BULLET} {line}" for line in lines] if bullets else list(lines)
        size = _largest_that_fits(paragraphs, box, largest, gap=0.5 if bullets else 0.0)
        _write(frame, paragraphs, size, color, gap=0.5 if bullets else 0.0)

    def table(self, table: Table, box: Box = BODY, largest: int = 18) -> None:
        """Draw a table with column widths in proportion to the longest lines."""
        columns = len(table.headings)
        rows = [table.headings, *table.rows]
        shares = [max(map(_longest_line, column)) for column in zip(*rows, strict=True)]
        widths = [box.width * share / sum(shares) for share in shares]
        size, heights = _table_size(rows, widths, box.height, largest, table.words)
        place = Box(box.left, box.top, box.width, sum(heights) / 72).place
        drawn = self._slide.shapes.add_table(len(rows), columns, *place).table
        for column, width in zip(drawn.columns, widths, strict=True):
            column.width = Inches(width)
        for index, (row, height) in enumerate(zip(rows, heights, strict=True)):
            drawn.rows[index].height = Pt(height)
            for column, text in enumerate(row):
                cell = drawn.cell(index, column)
                cell.margin_left = cell.margin_right = Pt(_CELL_MARGIN_POINTS)
                cell.margin_top = cell.margin_bottom = Pt(_CELL_MARGIN_POINTS / 2)
                cell.vertical_anchor = MSO_ANCHOR.MIDDLE
                cell.fill.solid()
                shade = "E4E8EC" if index == 0 else "FFFFFF" if index % 2 else "F6F8FA"
                cell.fill.fore_color.rgb = RGBColor.from_string(shade)
                _write(cell.text_frame, text.split("\n"), size, INK, bold=index == 0)
                if column >= table.words:
                    for paragraph in cell.text_frame.paragraphs:
                        paragraph.alignment = PP_ALIGN.RIGHT

    def pictures(self, pictures: Iterable[Picture], boxes: Iterable[Box]) -> None:
        """Draw each picture as large as its box allows, centered; missing pictures are skipped."""
        for picture, box in zip(pictures, boxes, strict=False):
            if picture.png is None:
                continue
            with Image.open(io.BytesIO(picture.png)) as image:
                scale = min(box.width / image.width, box.height / image.height)
                width, height = image.width * scale, image.height * scale
            left, top = box.left + (box.width - width) / 2, box.top + (box.height - height) / 2
            place = Box(left, top, width, height).place
            shape = self._slide.shapes.add_picture(io.BytesIO(picture.png), *place)
            shape._element.nvPicPr.cNvPr.set("descr", picture.caption)

    def pptx(self) -> bytes:
        """Return the deck as a PowerPoint file."""
        stream = io.BytesIO()
        self._deck.save(stream)
        return stream.getvalue()


def text_height(lines: Iterable[str], width: float, points: float, gap: float = 0.0) -> float:
    """Return the height of wrapped paragraphs in points, an upper estimate.

    It is measured in DejaVu Sans, which is wider than the font of the slides.

    Args:
        lines: The paragraphs.
        width: Width of the box, in points.
        points: Font size, in points.
        gap: Space after each paragraph, in lines.
    """
    count = sum(_wrapped(line, width / points) + gap for line in lines)
    return count * points * LINE_SPACING


def _longest_line(text: str) -> float:
    """Return the preferred width of a cell in multiples of the font size."""
    return 1.5 + min(_WIDEST_COLUMN, max(map(_width, text.split("\n"))))


def _wrapped(line: str, width: float) -> int:
    """Count the lines of a paragraph; the width is in multiples of the font size."""
    count, used = 1, 0.0
    space = _width(" ")
    for word in line.split():
        needed = _width(word)
        if used and used + space + needed > width:
            count, used = count + 1, 0.0
        while needed > width:  # a word longer than a line is split
            count, needed = count + 1, needed - width
        used += needed + (space if used else 0.0)
    return count


@cache
def _measure() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), 100)


def _width(text: str) -> float:
    return _measure().getlength(text) / 100


def _largest_that_fits(lines: Sequence[str], box: Box, largest: int, gap: float) -> int:
    width, height = (
        72 * box.width - 15,
        72 * box.height - 8,
    )  # less the margins of a PowerPoint text box
    sizes = range(largest, LEAST_POINTS, -1)
    fitting = (size for size in sizes if text_height(lines, width, size, gap) <= height)
    return next(fitting, LEAST_POINTS)


def _table_size(
    rows: Sequence[Sequence[str]],
    widths: Sequence[float],
    height: float,
    largest: int,
    words: int,
) -> tuple[int, list[float]]:
    """Return the largest font size at which a table fits without wrapping a number.

    Args:
        rows: Cells of each row, the headings first.
        widths: Widths of the columns, in inches.
        height: Height of the box, in inches.
        largest: Largest font size, in points.
        words: Number of columns, from the left, that hold words, which may wrap.

    Returns:
        The font size and the heights of the rows, in points.
    """
    inner = [72 * width - 2 * _CELL_MARGIN_POINTS for width in widths]
    heights: list[float] = []
    for size in range(largest, LEAST_POINTS - 1, -1):
        cells = [
            [
                text_height(text.split("\n"), width, size)
                for text, width in zip(row, inner, strict=True)
            ]
            for row in rows
        ]
        heights = [_CELL_MARGIN_POINTS + max(row) for row in cells]
        wraps_number = any(
            _wrapped(line, width / size) > 1
            for row in rows[1:]
            for text, width in zip(row[words:], inner[words:], strict=True)
            for line in text.split("\n")
        )
        if sum(heights) <= 72 * height and not wraps_number:
            return size, heights
    return LEAST_POINTS, heights


def _write(
    frame: Any,
    lines: Sequence[str],
    size: float,
    color: RGBColor,
    *,
    bold: bool = False,
    gap: float = 0.0,
) -> None:
    frame.word_wrap = True
    for index, line in enumerate(lines):
        paragraph = frame.paragraphs[0] if index == 0 else frame.add_paragraph()
        paragraph.alignment = PP_ALIGN.LEFT
        paragraph.space_after = Pt(gap * size)
        run = paragraph.add_run()
        run.text = line
        run.font.size, run.font.bold, run.font.name = Pt(size), bold, FONT
        run.font.color.rgb = color
