"""What the pages ask of the results store and the object store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text

from tumorml.errors import MissingObjectError
from tumorml.objects import object_store
from tumorml.reports.facts.champions import ChampionSummary, champion_summaries
from tumorml.results.session import read_session
from tumorml.settings import Settings

Row = Mapping[str, Any]

EVALUATED = """
    select e.run_id as run, e.model_version_id as model from evaluation e
      join champion c on c.model_version_id = e.model_version_id
     where c.task = :task and c.until is null
     order by e.created_at desc limit 1
"""


def rows_of(settings: Settings, query: str, **values: object) -> list[dict[str, Any]]:
    """What the results store answers to a query, as the role that can only select."""
    with read_session(settings) as session:
        return [dict(row) for row in session.execute(text(query), values).mappings()]


def object_of(settings: Settings, key: str) -> bytes | None:
    """A file of the object store, or None where it is gone."""
    try:
        return object_store(settings).read(key)
    except MissingObjectError:
        return None


def summary_of(settings: Settings, model_version_id: str) -> ChampionSummary | None:
    """What is said of a champion wherever it is shown; None where it serves no more."""
    with read_session(settings) as session:
        found = champion_summaries(session)
    return next((c for c in found if c.champion.model_version_id == model_version_id), None)


def latest_evaluation(settings: Settings, task: str) -> dict[str, Any]:
    """The run that evaluated the champion of a task last, and the champion, where there is one.

    By the names ``run`` and ``model``, as queries take them; None where there is none.
    """
    found = rows_of(settings, EVALUATED, task=task)
    return found[0] if found else {"run": None, "model": None}
