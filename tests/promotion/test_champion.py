"""Changes of champion by hand: rollback, pin, unpin, force and authorise."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select, text

from tests.factories.runs import TASK, EvaluatedRuns, damage_model, judge_and_promote
from tumorml.errors import TumorMLError
from tumorml.promotion.champion import champions_by_task, change_champion
from tumorml.results.champions import current_champions
from tumorml.results.session import read_session
from tumorml.results.tables import Champion
from tumorml.settings import Settings


def test_one_request_changes_the_champion_once(store: Settings, evaluated: EvaluatedRuns) -> None:
    judge_and_promote(store, evaluated("a", 0.4))
    judge_and_promote(store, evaluated("b", 0.05, {"m-a": 0.4}))
    for _ in range(2):
        target = change_champion(
            store, TASK, change="rollback", why="recall", who="me", request="manual-1"
        )
        assert target == "m-a"
    with read_session(store) as session:
        assert session.scalar(select(func.count()).select_from(Champion)) == 3


def test_rollback_can_be_rolled_back_and_is_recorded(
    store: Settings, evaluated: EvaluatedRuns
) -> None:
    judge_and_promote(store, evaluated("a", 0.4))
    judge_and_promote(store, evaluated("b", 0.05, {"m-a": 0.4}))
    assert change_champion(store, TASK, change="rollback", why="recall", who="me") == "m-a"
    with pytest.raises(TumorMLError, match="no earlier champion"):
        change_champion(store, TASK, change="rollback", why="again", who="me")
    to_b = {"change": "rollback", "why": "fixed", "who": "me", "model_version_id": "m-b"}
    assert change_champion(store, TASK, **to_b) == "m-b"
    with read_session(store) as session:
        history = session.execute(
            text("select model_version, change, why from champion_history order by since")
        ).all()
    assert [tuple(row)[:2] for row in history] == [
        ("m-a", "promotion"),
        ("m-b", "promotion"),
        ("m-a", "rollback"),
        ("m-b", "rollback"),
    ]
    assert [row.why for row in history[2:]] == ["recall", "fixed"]


def test_model_that_never_served_can_be_pinned_only(
    store: Settings, evaluated: EvaluatedRuns
) -> None:
    judge_and_promote(store, evaluated("a", 0.05))
    judge_and_promote(store, evaluated("b", 0.4, {"m-a": 0.05}))
    change = {"why": "x", "who": "me", "model_version_id": "m-b"}
    with pytest.raises(TumorMLError, match=r"never champion .* \(verdict kept"):
        change_champion(store, TASK, change="rollback", **change)
    assert change_champion(store, TASK, change="pin", **change) == "m-b"
    assert champions_by_task(store) == {TASK: "m-b"}


IMPOSSIBLE_CHANGES = [
    ({"change": "rollback", "why": " "}, "needs a reason"),
    ({"change": "dethrone", "why": "x"}, "'dethrone' is not a change of champion"),
    ({"change": "rollback", "why": "x"}, "no earlier champion"),
    ({"change": "unpin", "why": "x"}, "not pinned"),
    ({"change": "pin", "why": "x", "model_version_id": "m-nobody"}, "newest are m-a"),
    ({"change": "force", "why": "x", "model_version_id": "m-a"}, "is already the champion"),
    ({"change": "unpin", "why": "x", "model_version_id": "m-b"}, "applies to the current champion"),
]


def test_impossible_change_is_refused_with_its_reason(
    store: Settings, evaluated: EvaluatedRuns
) -> None:
    for arguments, _ in IMPOSSIBLE_CHANGES:
        with pytest.raises(TumorMLError, match=r"no champion yet|needs a reason|dethrone"):
            change_champion(store, TASK, who="me", **arguments)
    judge_and_promote(store, evaluated("a", 0.1))
    for arguments, reason in IMPOSSIBLE_CHANGES:
        with pytest.raises(TumorMLError, match=reason):
            change_champion(store, TASK, who="me", **arguments)
    assert champions_by_task(store) == {TASK: "m-a"}


def test_damaged_model_never_serves(store: Settings, evaluated: EvaluatedRuns) -> None:
    judge_and_promote(store, evaluated("a", 0.1))
    run = evaluated("b", 0.0, {"m-a": 0.1})
    damage_model(store, "m-b")
    assert judge_and_promote(store, run) == "rejected"
    for change in ("force", "pin"):
        with pytest.raises(TumorMLError, match=r"model\.keras of model version m-b"):
            change_champion(store, TASK, change=change, why="x", who="me", model_version_id="m-b")
    assert champions_by_task(store) == {TASK: "m-a"}


def test_force_makes_a_losing_model_champion(store: Settings, evaluated: EvaluatedRuns) -> None:
    judge_and_promote(store, evaluated("a", 0.0))
    judge_and_promote(store, evaluated("b", 0.4, {"m-a": 0.0}))
    with pytest.raises(TumorMLError, match="Name the model version"):
        change_champion(store, TASK, change="force", why="x", who="me")
    change = {"change": "force", "why": "a drill", "who": "me", "model_version_id": "m-b"}
    assert change_champion(store, TASK, **change) == "m-b"
    with read_session(store) as session:
        (row,) = current_champions(session)
        assert row.model_version_id == "m-b"
        assert (row.change, row.why, row.pinned) == ("force", "a drill", False)
