"""Written reports of a made run: their text and tables, and the rows that they are made from."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
from sqlalchemy import select

from tests.factories.answers import FOUR
from tests.factories.reports import CHALLENGER, RUN
from tumorml.evaluation.answers import Answers
from tumorml.objects import object_store
from tumorml.reports.facts.run_facts import RunFacts, gather_run_facts
from tumorml.reports.render.html import render_page
from tumorml.reports.run.card import model_card
from tumorml.reports.run.figures import RunFigures, draw_run_figures
from tumorml.reports.run.report import run_report
from tumorml.results.session import read_session
from tumorml.results.tables import Prediction
from tumorml.settings import Settings


def read_file(settings: Settings, name: str) -> bytes:
    """The content of a file that the report step wrote."""
    return object_store(settings).read(f"runs/{RUN}/{name}")


def facts_of(settings: Settings, run_id: str = RUN) -> RunFacts:
    with read_session(settings) as session:
        return gather_run_facts(session, object_store(settings), run_id)


def report_page(settings: Settings, *, figures: bool = False) -> str:
    """The HTML report of the made run as the report step writes it, by default without figures."""
    facts = facts_of(settings)
    drawn = draw_run_figures(facts) if figures else RunFigures()
    return render_page("document.html", document=run_report(facts, drawn))


def card_text(settings: Settings) -> str:
    """The model card of the made run in Markdown."""
    return model_card(facts_of(settings))


def tables_of(page: str) -> dict[tuple[str, str], list[list[str]]]:
    """The rows of cells of a page's tables, headings first.

    The key is the title, or an empty string if the table has none, and the first heading.
    """
    parser = _TableParser()
    parser.feed(page)
    tables = {(title, rows[0][0]): rows for title, rows in parser.tables}
    assert len(tables) == len(parser.tables)
    return tables


def rows_of(page: str) -> dict[str, list[str]]:
    """The cells of all tables of a page, by the first cell of their row."""
    return {row[0]: row[1:] for rows in tables_of(page).values() for row in rows}


def answers_in_rows(settings: Settings, model: str = CHALLENGER) -> Answers:
    """The answers of a model version as the results store has them."""
    with read_session(settings) as session:
        rows = session.scalars(select(Prediction).where(Prediction.model_version_id == model)).all()
    return Answers(
        [row.scan_id for row in rows],
        FOUR,
        np.array([[row.probabilities[label] for label in FOUR] for row in rows], np.float32),
        np.array([FOUR.index(row.label) for row in rows]),
        np.array([FOUR.index(str(row.true_label)) for row in rows]),
    )


class _TableParser(HTMLParser):
    """Collects the title and the text of the cells of every table."""

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
