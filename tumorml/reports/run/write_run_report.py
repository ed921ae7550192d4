"""Step ``report``: write the report (HTML and PDF), the slide deck and the model card of a run."""

from __future__ import annotations

from tumorml.objects import object_store
from tumorml.objects.keys import report_key, run_file_key
from tumorml.reports.facts.run_facts import gather_run_facts
from tumorml.reports.render.html import render_page
from tumorml.reports.render.pdf import pdf_document
from tumorml.reports.run.card import model_card, model_card_page
from tumorml.reports.run.deck import slide_deck
from tumorml.reports.run.figures import draw_run_figures
from tumorml.reports.run.report import run_report
from tumorml.results.artifacts import artifact_row, record_artifacts
from tumorml.results.session import read_session, write_session
from tumorml.settings import Settings

KINDS = {
    "report.html": ("report", "text/html"),
    "report.pdf": ("report_pdf", "application/pdf"),
    "deck.pptx": (
        "deck",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    "model-card.md": ("model_card", "text/markdown"),
    "model-card.html": ("model_card", "text/html"),
}
"""Artifact kind and media type of each file."""


def write_run_report(settings: Settings, run_id: str) -> str:
    """Write the files of ``KINDS`` to ``runs/<run>/``; earlier files are overwritten.

    Returns:
        The object key of the HTML report.

    Raises:
        TumorMLError: The run has not been judged.
    """
    store = object_store(settings)
    with read_session(settings) as session:
        facts = gather_run_facts(session, store, run_id)
    figures = draw_run_figures(facts)
    report = run_report(facts, figures)
    card = model_card(facts)
    files = {
        "report.html": render_page("document.html", document=report).encode(),
        "report.pdf": pdf_document(report),
        "deck.pptx": slide_deck(facts, figures),
        "model-card.md": card.encode(),
        "model-card.html": model_card_page(card, f"Model card: {facts.model.id}").encode(),
    }
    rows = []
    for name, data in files.items():
        kind, media_type = KINDS[name]
        key = run_file_key(run_id, name)
        store.write(key, data)
        rows.append(
            artifact_row(
                kind,
                key,
                data,
                model_version_id=facts.model.id,
                run_id=run_id,
                media_type=media_type,
            )
        )
    with write_session(settings) as session:
        record_artifacts(session, rows)
    return report_key(run_id)
