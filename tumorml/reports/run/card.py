"""The model card of a run, after Mitchell et al. 2019 and CLAIM.

Mitchell et al.: Model Cards for Model Reporting, doi:10.1145/3287560.3287596. CLAIM: Checklist for
Artificial Intelligence in Medical Imaging, 2024 update, doi:10.1148/ryai.240300.
"""

from __future__ import annotations

import re

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt

from tumorml.reports.document import Table
from tumorml.reports.facts import heatmap_claims, split, statements, verdict
from tumorml.reports.facts.numbers import HEADLINES
from tumorml.reports.facts.run_facts import RunFacts
from tumorml.reports.render.html import render_page
from tumorml.reports.run import tables


def model_card(facts: RunFacts) -> str:
    """Return the model card in Markdown."""
    environment = Environment(  # noqa: S701 - `_escape` escapes Markdown
        loader=PackageLoader("tumorml.reports.run"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_escape,
    )
    return environment.get_template("model_card.md").render(
        facts=facts,
        headlines=HEADLINES,
        heatmap_claims=heatmap_claims,
        split=split,
        statements=statements,
        table=_table,
        tables=tables,
        verdict=verdict,
    )


def model_card_page(card: str, title: str) -> str:
    """Return the card as an HTML page; HTML inside the card is escaped."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(card)
    return render_page("model_card.html", package="tumorml.reports.run", body=body, title=title)


class _Markdown(str):
    """Markdown that is not escaped again."""

    __slots__ = ()


def _escape(value: object) -> str:
    if isinstance(value, _Markdown):
        return value
    return re.sub(r"([\\`*_{}\[\]<>#|~!&])", r"\\\1", " ".join(str(value).split()))


def _table(table: Table) -> _Markdown:
    lines = [
        table.headings,
        ["---" if i < table.words else "---:" for i in range(len(table.headings))],
    ]
    lines += table.rows
    cells = [
        [cell if number == 1 else _escape(_one_line(cell)) for cell in row]
        for number, row in enumerate(lines)
    ]
    return _Markdown("\n".join(f"| {' | '.join(row)} |" for row in cells))


def _one_line(text: str) -> str:
    value, _, interval = text.partition("\n")
    return f"{value} ({interval})" if interval else value
