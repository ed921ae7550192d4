"""Queries of the pages to the results store and the object store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text

from tumorml.errors import MissingObjectError
from tumorml.objects import object_store
from tumorml.reports.facts.champions import ChampionSummary, champion_summaries
from tumorml.results.champions import champion_of, current_champions
from tumorml.results.session import read_session
from tumorml.settings import Settings

Row = Mapping[str, Any]

LATEST_EVALUATION = """
    select run_id as run, model_version_id as model from evaluation
     where model_version_id = :model
     order by created_at desc limit 1
"""


def query_rows(settings: Settings, query: str, **values: object) -> list[dict[str, Any]]:
    """Run a query as the database role that may only select; return the rows as dicts."""
    with read_session(settings) as session:
        return [dict(row) for row in session.execute(text(query), values).mappings()]


def read_object(settings: Settings, key: str) -> bytes | None:
    """Return the content of an object, or None if it is missing."""
    try:
        return object_store(settings).read(key)
    except MissingObjectError:
        return None


def tasks_with_champion(settings: Settings) -> list[str]:
    """Return the tasks that have a champion, sorted by name."""
    with read_session(settings) as session:
        return [champion.task for champion in current_champions(session)]


def summarize_champion(settings: Settings, model_version_id: str) -> ChampionSummary | None:
    """Return the summary of a champion; None if the model version is not a champion now."""
    with read_session(settings) as session:
        summaries = champion_summaries(session)
    return next((c for c in summaries if c.champion.model_version_id == model_version_id), None)


def latest_evaluation(settings: Settings, task: str) -> dict[str, Any]:
    """Return the latest run that evaluated the task's champion, and the champion.

    Returns:
        Ids under ``run`` and ``model``, to pass on as query parameters; both None if there is no
        champion or no evaluation.
    """
    with read_session(settings) as session:
        champion = champion_of(session, task)
    if champion is None:
        return {"run": None, "model": None}
    rows = query_rows(settings, LATEST_EVALUATION, model=champion.model_version_id)
    return rows[0] if rows else {"run": None, "model": None}
