"""Read-only queries behind the GET endpoints and the UI: predictions, champions, model versions."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tumorml.errors import MissingObjectError
from tumorml.objects import object_store
from tumorml.reports.facts.numbers import HEADLINES
from tumorml.results.champions import current_champions
from tumorml.results.session import read_session
from tumorml.results.tables import Artifact
from tumorml.serving.api.problems import ProblemError
from tumorml.settings import Settings

STATEMENT_TIMEOUT_SECONDS = 10
FILTERS = {
    "task": "task = :task",
    "label": "predicted_label = :label",
    "true_label": "true_label = :true_label",
    "model_version": "model_version = :model_version",
    "source": "source = :source",
    "caller": "caller = :caller",
    "scan": "scan = :scan",
    "since": "created_at >= :since",
    "until": "created_at < :until",
    "unlike": "unlike = :unlike",
    "correct": "correct = :correct",
}
"""The SQL condition of each filter of the prediction history."""
CHAMPIONS = text("""
    select c.task, c.model_version_id as model_version, r.recipe, c.since, c.change, c.who, c.why,
           c.pinned,
           coalesce((select jsonb_object_agg(e.metric, jsonb_build_object(
                        'value', e.value, 'low', e.low, 'high', e.high, 'scans', e.scans))
                       from evaluation e
                      where e.run_id = r.id and e.model_version_id = c.model_version_id
                        and e.split = 'test' and e.slice = 'all' and e.metric = any(:metrics)),
                    '{}'::jsonb) as metrics
      from champion c
      join model_version m on m.id = c.model_version_id
      join run r on r.id = m.run_id
     where c.id = any(:champions)
     order by c.task desc
""")
MODEL_VERSIONS = text("""
    select m.id as model_version, m.task, m.run_id as run, r.recipe, m.parameters, m.input_size,
           m.sha256, m.created_at, r.verdict, r.accuracy, r.f1_macro
      from model_version m
      join run_summary r on r.run = m.run_id
     order by m.created_at desc, m.id
     limit :limit offset :offset
""")


def read_predictions(
    settings: Settings, filters: Mapping[str, Any], *, after: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Return rows of ``prediction_history``, newest first, and the cursor of the next page.

    Args:
        settings: Settings with the results store.
        filters: Values by the names in `FILTERS`; None means no filter.
        after: Cursor that an earlier call returned.
        limit: Maximum number of rows.

    Raises:
        ProblemError: 422 for an invalid cursor.
    """
    values = {name: value for name, value in filters.items() if value is not None}
    conditions = [FILTERS[name] for name in values]
    if after is not None:
        values["moment"], values["id"] = _parse_cursor(after)
        conditions.append("(created_at, prediction) < (:moment, :id)")
    where = f"where {' and '.join(conditions)}" if conditions else ""
    query = (
        f"select * from prediction_history {where} "  # noqa: S608 - only the constants above
        "order by created_at desc, prediction desc limit :limit"
    )
    with _bounded_session(settings) as session:
        rows = session.execute(text(query), values | {"limit": limit + 1}).mappings().all()
    page = [dict(row) for row in rows[:limit]]
    if len(rows) <= limit:
        return page, None
    last = page[-1]
    cursor = json.dumps([last["created_at"].isoformat(), last["prediction"]])
    return page, base64.urlsafe_b64encode(cursor.encode()).decode()


def read_champions(settings: Settings) -> list[dict[str, Any]]:
    """Return the current champion of each task, with its metrics on the test scans."""
    with _bounded_session(settings) as session:
        ids = [champion.id for champion in current_champions(session)]
        rows = session.execute(CHAMPIONS, {"champions": ids, "metrics": list(HEADLINES)})
        return [dict(row) for row in rows.mappings()]


def read_model_versions(settings: Settings, *, limit: int, offset: int) -> list[dict[str, Any]]:
    """Return model versions, newest first."""
    with _bounded_session(settings) as session:
        since: dict[str, datetime] = {}
        for champion in current_champions(session):
            earlier = since.get(champion.model_version_id, champion.since)
            since[champion.model_version_id] = max(earlier, champion.since)
        rows = session.execute(MODEL_VERSIONS, {"limit": limit, "offset": offset}).mappings()
        return [dict(row) | {"champion_since": since.get(row["model_version"])} for row in rows]


def read_overlay(settings: Settings, key: str) -> bytes:
    """Return the PNG of a heatmap.

    Raises:
        ProblemError: 404 if no heatmap has this key, or its object is missing.
    """
    query = select(Artifact.object_key).where(
        Artifact.object_key == key, Artifact.kind == "heatmap"
    )
    with _bounded_session(settings) as session:
        found = session.scalar(query)
    try:
        if found is None:
            raise MissingObjectError
        return object_store(settings).read(key)
    except MissingObjectError:
        raise ProblemError(404, "There is no heatmap with this key.") from None


@contextmanager
def _bounded_session(settings: Settings) -> Iterator[Session]:
    """Open a read-only transaction with a statement timeout, so that it frees its connection."""
    with read_session(settings) as session:
        milliseconds = 1000 * STATEMENT_TIMEOUT_SECONDS
        session.execute(text(f"set local statement_timeout = {milliseconds}"))
        yield session


def _parse_cursor(after: str) -> tuple[datetime, int]:
    try:
        moment, number = json.loads(base64.urlsafe_b64decode(after.encode()))
        cursor = datetime.fromisoformat(moment).astimezone(UTC), int(number)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise _invalid_cursor() from None
    if not 0 <= cursor[1] < 2**63:
        raise _invalid_cursor()
    return cursor


def _invalid_cursor() -> ProblemError:
    return ProblemError(422, "after: invalid cursor; send the `next` of the previous page.")
