"""What stands in the files about a run, and the rows that it should have come from."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
from sqlalchemy import select

from tests.factories.answers import FOUR
from tests.factories.reports import CHALLENGER, RUN
from tumorml.evaluation.answers import Answers
from tumorml.objects import object_store
from tumorml.results.session import read_session
from tumorml.results.tables import Prediction
from tumorml.settings import Settings


def read(settings: Settings, name: str) -> bytes:
    return object_store(settings).read(f"runs/{RUN}/{name}")


def page_of(settings: Settings) -> str:
    return read(settings, "report.html").decode()


def tables_of(page: str) -> dict[tuple[str, str], list[list[str]]]:
    """The rows of cells of a page's tables, headings first.

    By their title, or nothing where they have none, and the first of their headings.
    """
    parser = _Tables()
    parser.feed(page)
    found = {(title, rows[0][0]): rows for title, rows in parser.tables}
    assert len(found) == len(parser.tables)
    return found


def answers_in_rows(settings: Settings, model: str = CHALLENGER) -> Answers:
    with read_session(settings) as session:
        rows = session.scalars(select(Prediction).where(Prediction.model_version_id == model)).all()
    return Answers(
        [row.scan_id for row in rows],
        FOUR,
        np.array([[row.probabilities[label] for label in FOUR] for row in rows], np.float32),
        np.array([FOUR.index(row.label) for row in rows]),
        np.array([FOUR.index(row.true_label) for row in rows]),
    )


class _Tables(HTMLParser):
    """Every table's title and rows of cells, the words alone."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[tuple[str, list[list[str]]]] = []
        self._title, self._open = "", ""

    def handle_starttag(self, tag, attrs):
        if tag in ("h2", "h3"):
            self._title = ""
        if tag == "table":
            self.tables.append((self._title, []))
            self._title = ""
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][1][-1].append("")
        if tag in ("h3", "td", "th"):
            self._open = tag

    def handle_endtag(self, tag):
        if tag == self._open:
            self._open = ""

    def handle_data(self, data):
        if self._open == "h3":
            self._title += data
        elif self._open:
            cells = self.tables[-1][1][-1]
            cells[-1] = f"{cells[-1]} {data}".strip()
