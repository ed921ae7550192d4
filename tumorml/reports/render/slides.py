"""Drawing on slides of 13.33 x 7.5 inches, so that what is written fits where it is written."""

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

from tumorml.reports.render.document import Picture, Table

FONT = "Arial"
INK, QUIET, BLUE, WARNING = (
    RGBColor.from_string(h) for h in ("1B1F24", "59636E", "0072B2", "8A5A00")
)
LINE_SPACING = 1.2
LEAST_POINTS = 7
_CELL_MARGIN_POINTS = 4
_WIDEST_COLUMN = 32  # times the size of the letters


@dataclass(frozen=True, slots=True)
class Box:
    """A place on a slide, in inches from its upper left corner."""

    left: float
    top: float
    width: float
    height: float

    @property
    def place(self) -> tuple[Emu, Emu, Emu, Emu]:
        """As python-pptx wants it."""
        return Inches(self.left), Inches(self.top), Inches(self.width), Inches(self.height)

    def columns(self, count: int, gap: float = 0.2) -> list[Box]:
        """As many boxes of one width side by side."""
        width = (self.width - gap * (count - 1)) / count
        return [
            Box(self.left + column * (width + gap), self.top, width, self.height)
            for column in range(count)
        ]

    def rows(self, count: int, gap: float = 0.1) -> list[Box]:
        """As many boxes of one height below each other."""
        height = (self.height - gap * (count - 1)) / count
        return [
            Box(self.left, self.top + row * (height + gap), self.width, height)
            for row in range(count)
        ]


BODY = Box(0.6, 1.35, 12.13, 5.45)


class Slides:
    """A deck that is being drawn."""

    def __init__(self, footer: str) -> None:
        self._deck = Presentation()
        self._deck.slide_width, self._deck.slide_height = Inches(13.333), Inches(7.5)
        self._footer = footer
        self._slide: Any = None

    def add(self, title: str) -> None:
        """Begin a slide."""
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
        colour: RGBColor = INK,
        *,
        bullets: bool = False,
    ) -> None:
        """Write lines as large as they fit, at most ``largest`` points."""
        frame = self._slide.shapes.add_textbox(*box.place).text_frame
        written = [f"\N{BULLET} {line}" for line in lines] if bullets else list(lines)
        size = _largest_that_fits(written, box, largest, gap=0.5 if bullets else 0.0)
        _write(frame, written, size, colour, gap=0.5 if bullets else 0.0)

    def table(self, table: Table, box: Box = BODY, largest: int = 18) -> None:
        """Draw a table whose columns are as wide as their longest lines ask for."""
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
        """Draw each picture as large as its box allows, in the middle of it; missing ones not."""
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
        """The deck's file."""
        stream = io.BytesIO()
        self._deck.save(stream)
        return stream.getvalue()


def text_height(lines: Iterable[str], width: float, points: float, gap: float = 0.0) -> float:
    """How high wrapped lines stand, in points, in a font that is wider than the slides' own.

    Args:
        lines: Each a paragraph.
        width: Of the box, in points.
        points: Size of the letters.
        gap: After each paragraph, in lines.
    """
    count = sum(_wrapped(line, width / points) + gap for line in lines)
    return count * points * LINE_SPACING


def _longest_line(text: str) -> float:
    """The width that a cell asks for, in its letters' size."""
    return 1.5 + min(_WIDEST_COLUMN, max(map(_width, text.split("\n"))))


def _wrapped(line: str, width: float) -> int:
    """How many lines a paragraph takes in a width given in the letters' size."""
    count, used = 1, 0.0
    space = _width(" ")
    for word in line.split():
        needed = _width(word)
        if used and used + space + needed > width:
            count, used = count + 1, 0.0
        while needed > width:  # a word longer than a line is broken
            count, needed = count + 1, needed - width
        used += needed + (space if used else 0.0)
    return count


@cache
def _measure() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), 100)


def _width(text: str) -> float:
    return _measure().getlength(text) / 100


def _largest_that_fits(lines: Sequence[str], box: Box, largest: int, gap: float) -> int:
    width, height = 72 * box.width - 15, 72 * box.height - 8  # without python-pptx's own margins
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
    """The largest size at which a table fits and breaks no number, and its rows' heights.

    Args:
        rows: Of cells.
        widths: Of the columns, in inches.
        height: Of the box, in inches.
        largest: Size to begin with, in points.
        words: So many columns hold words, which may be broken.
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
        broken = any(
            _wrapped(line, width / size) > 1
            for row in rows[1:]
            for text, width in zip(row[words:], inner[words:], strict=True)
            for line in text.split("\n")
        )
        if sum(heights) <= 72 * height and not broken:
            return size, heights
    return LEAST_POINTS, heights


def _write(
    frame: Any,
    lines: Sequence[str],
    size: float,
    colour: RGBColor,
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
        run.font.color.rgb = colour
