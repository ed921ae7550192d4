from __future__ import annotations

import pytest
from sqlalchemy import func
from sqlalchemy.exc import DBAPIError

from tests.factories.rows import model_row, run_row
from tumorml.results.champions import champion_of, current_champions
from tumorml.results.session import write_session
from tumorml.results.tables import Champion, Snapshot
from tumorml.settings import Settings


def add_model(settings: Settings, model_id: str, task: str) -> None:
    with write_session(settings) as session:
        session.add(Snapshot(id=f"s-{model_id}", task=task, counts={}, held_out={}, object_key="k"))
        session.flush()
        session.add(run_row(f"r-{model_id}", task, f"s-{model_id}"))
        session.flush()
        session.add(model_row(model_id, f"r-{model_id}", task))


def open_row(model_id: str, task: str) -> Champion:
    return Champion(task=task, model_version_id=model_id, change="promotion", who="", why="")


def test_current_champions_are_the_open_rows_by_task(settings: Settings) -> None:
    for model_id, task in (("old", "binary"), ("new", "binary"), ("four", "four_class")):
        add_model(settings, model_id, task)
    with write_session(settings) as session:
        assert current_champions(session) == []
        assert champion_of(session, "binary") is None
        session.add_all([open_row("four", "four_class"), open_row("old", "binary")])
        session.flush()
        replaced = champion_of(session, "binary")
        assert replaced is not None and replaced.model_version_id == "old"
        replaced.until = func.now()
        session.flush()
        assert champion_of(session, "binary") is None
        session.add(open_row("new", "binary"))
        session.flush()
        assert [row.model_version_id for row in current_champions(session)] == ["new", "four"]


def test_task_with_a_champion_refuses_a_second_one(settings: Settings) -> None:
    add_model(settings, "m", "binary")
    with write_session(settings) as session:
        session.add(open_row("m", "binary"))
    with pytest.raises(DBAPIError, match="uq_champion_open"), write_session(settings) as session:
        session.add(open_row("m", "binary"))
