"""What was answered, who serves, which model versions there are: the reading half of the API."""

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
from tumorml.results.session import read_session
from tumorml.results.tables import Artifact
from tumorml.serving.api.problems import ProblemError
from tumorml.settings import Settings

QUERY_SECONDS = 10
"""Of one question to the results store."""
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
CHAMPIONS = text("""
    select c.task, c.model_version, c.recipe, c.since, c.change, c.who, c.why, c.pinned,
           coalesce((select jsonb_object_agg(e.metric, jsonb_build_object(
                        'value', e.value, 'low', e.low, 'high', e.high, 'scans', e.scans))
                       from evaluation e
                      where e.run_id = c.run and e.model_version_id = c.model_version
                        and e.split = 'test' and e.slice = 'all' and e.metric = any(:metrics)),
                    '{}'::jsonb) as metrics
      from champion_history c
     where c.until is null
     order by c.task desc
""")
MODELS = text("""
    select m.id as model_version, m.task, m.run_id as run, r.recipe, m.parameters, m.input_size,
           m.sha256, m.created_at, r.verdict, r.accuracy, r.f1_macro,
           (select max(since) from champion c where c.model_version_id = m.id and c.until is null)
               as champion_since
      from model_version m
      join run_summary r on r.run = m.run_id
     order by m.created_at desc, m.id
     limit :limit offset :offset
""")


def predictions(
    settings: Settings, wanted: Mapping[str, Any], *, after: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Rows of ``prediction_history``, the newest first, and the cursor behind the last of them.

    Raises:
        ProblemError: The cursor is none of ours.
    """
    values = {name: value for name, value in wanted.items() if value is not None}
    conditions = [FILTERS[name] for name in values]
    if after is not None:
        values["moment"], values["id"] = _cursor(after)
        conditions.append("(created_at, prediction) < (:moment, :id)")
    where = f"where {' and '.join(conditions)}" if conditions else ""
    query = (
        f"select * from prediction_history {where} "  # noqa: S608 - of our own words alone
        "order by created_at desc, prediction desc limit :limit"
    )
    with _asking(settings) as session:
        rows = session.execute(text(query), values | {"limit": limit + 1}).mappings().all()
    shown = [dict(row) for row in rows[:limit]]
    if len(rows) <= limit:
        return shown, None
    last = shown[-1]
    cursor = json.dumps([last["created_at"].isoformat(), last["prediction"]])
    return shown, base64.urlsafe_b64encode(cursor.encode()).decode()


def champions(settings: Settings) -> list[dict[str, Any]]:
    """Who serves, with their numbers on the test scans."""
    with _asking(settings) as session:
        rows = session.execute(CHAMPIONS, {"metrics": list(HEADLINES)}).mappings()
        return [dict(row) for row in rows]


def models(settings: Settings, *, limit: int, offset: int) -> list[dict[str, Any]]:
    """Model versions, the newest first."""
    with _asking(settings) as session:
        rows = session.execute(MODELS, {"limit": limit, "offset": offset}).mappings()
        return [dict(row) for row in rows]


def overlay(settings: Settings, key: str) -> bytes:
    """The PNG of a heatmap.

    Raises:
        ProblemError: No heatmap has this key, or it is gone.
    """
    known = select(Artifact.object_key).where(
        Artifact.object_key == key, Artifact.kind == "heatmap"
    )
    with _asking(settings) as session:
        found = session.scalar(known)
    try:
        if found is None:
            raise MissingObjectError
        return object_store(settings).read(key)
    except MissingObjectError:
        raise ProblemError(404, "There is no such heatmap.") from None


@contextmanager
def _asking(settings: Settings) -> Iterator[Session]:
    """A transaction whose questions end in time, so that they keep no connection from others."""
    with read_session(settings) as session:
        session.execute(text(f"set local statement_timeout = {1000 * QUERY_SECONDS}"))
        yield session


def _cursor(after: str) -> tuple[datetime, int]:
    try:
        moment, number = json.loads(base64.urlsafe_b64decode(after.encode()))
        found = datetime.fromisoformat(moment).astimezone(UTC), int(number)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise ProblemError(422, "after: this is not the `next` of a page.") from None
    if not 0 <= found[1] < 2**63:
        raise ProblemError(422, "after: this is not the `next` of a page.")
    return found
