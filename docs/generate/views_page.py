"""The page of the views for people, from a freshly migrated database."""

from __future__ import annotations

import tempfile
from pathlib import Path

from markdown import code, page, table
from sqlalchemy import create_engine, text

from tumorml.results.local_postgres import OWNER, database_url
from tumorml.results.migrate import migrate
from tumorml.results.server import results_store
from tumorml.settings import Settings

VIEWS = {
    "batch_summary": "One row per batch: its state, its files by outcome and its warnings.",
    "champion_history": "Every champion of every task: its time, the person and the reason.",
    "disagreement": "Test scans on which champion and challenger of a verdict predict different "
    "labels.",
    "label_conflict": "Scans with contradicting labels that are not settled yet.",
    "policy_history": "Each version of the promotion policy: its text and the verdicts under it.",
    "prediction_history": "Every prediction of every source, with the file of the scan.",
    "prediction_provenance": "Each prediction with its model version, training run, snapshot and "
    "verdicts.",
    "run_data": "Every scan of a run's snapshot, with the files and drops that contained it.",
    "run_summary": "One row per run: its state, its main test metrics and its verdict.",
}
"""One sentence per view; a view without a sentence stops the generator."""


def views_page() -> str:
    """Return the page: the columns of each view.

    Raises:
        KeyError: A view has no description in ``VIEWS``.
    """
    parts = []
    for name, columns in _columns().items():
        parts += [f"## {name}", VIEWS[name], table(("column", "type"), columns)]
    return page(
        "Views",
        "a migrated database",
        "The views are the stable interface for queries in SQL. `tumorml sql` queries them as a "
        "role that can only select. Columns are added over time; none is removed or renamed.",
        *parts,
    )


def _columns() -> dict[str, list[tuple[str, str]]]:
    query = text(
        "select table_name, column_name, udt_name from information_schema.columns "
        "join information_schema.views using (table_schema, table_name) "
        "where table_schema = 'public' order by table_name, ordinal_position"
    )
    found: dict[str, list[tuple[str, str]]] = {}
    with tempfile.TemporaryDirectory(prefix="tumorml-docs-") as folder:
        Path(folder).chmod(0o755)
        settings = Settings(home=Path(folder), database_url=None, owner_database_url=None)
        with results_store(settings):
            migrate(settings)
            engine = create_engine(database_url(settings, "tumorml", OWNER))
            with engine.connect() as connection:
                for view, column, kind in connection.execute(query):
                    found.setdefault(view, []).append((code(column), kind))
            engine.dispose()
    return found
