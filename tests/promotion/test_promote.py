"""The step ``promote``: the champion changes once, and only against the challenged champion."""

from __future__ import annotations

import select as sockets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from tests.factories.runs import (
    TASK,
    EvaluatedRuns,
    judge_and_promote,
    lenient_policy,
    outcome_and_reason,
)
from tumorml.errors import TumorMLError
from tumorml.promotion.champion import CHANNEL, champions_by_task, change_champion
from tumorml.promotion.judge_run import judge_run
from tumorml.promotion.promote import promote
from tumorml.results.session import writer_url
from tumorml.settings import Settings

ROUNDS = 50
"""Number of pairs of runs that are judged at the same time."""


def test_promoting_again_undoes_no_rollback(store: Settings, evaluated: EvaluatedRuns) -> None:
    judge_and_promote(store, evaluated("a", 0.4))
    run_b = evaluated("b", 0.05, {"m-a": 0.4})
    judge_and_promote(store, run_b)
    before = outcome_and_reason(store, "v-b")
    change_champion(store, TASK, change="rollback", why="recall", who="me")
    for run in (run_b, "r-a"):
        assert judge_and_promote(store, run) == "promoted"
        assert champions_by_task(store) == {TASK: "m-a"}
    assert outcome_and_reason(store, "v-b") == before


def test_winner_over_a_previous_champion_is_kept_out_with_reason(
    store: Settings, evaluated: EvaluatedRuns
) -> None:
    judge_and_promote(store, evaluated("old", 0.4))
    first = evaluated("first", 0.1, {"m-old": 0.4})
    second = evaluated("second", 0.05, {"m-old": 0.4})
    assert judge_and_promote(store, first) == "promoted"
    assert judge_and_promote(store, second) == "kept"
    assert champions_by_task(store) == {TASK: "m-first"}
    assert "m-first became champion meanwhile" in outcome_and_reason(store, "v-second")[1]


def test_of_two_judged_at_once_exactly_one_becomes_champion(
    store: Settings, evaluated: EvaluatedRuns, tmp_path: Path
) -> None:
    policy = lenient_policy(tmp_path, budget=1000, alpha=0.4)
    store = store.model_copy(update={"promotion_policy": policy})
    champion = "m-first"
    assert judge_and_promote(store, evaluated("first", 0.3)) == "promoted"
    for number in range(ROUNDS):
        runs = [evaluated(f"{number}{side}", 0.0, {champion: 0.3, "m-first": 0.3}) for side in "ab"]
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(lambda run: judge_and_promote(store, run), runs))
        reasons = [outcome_and_reason(store, run.replace("r-", "v-"))[1] for run in runs]
        assert sorted(outcomes) == ["kept", "promoted"], reasons
        winner = outcomes.index("promoted")
        champion = runs[winner].replace("r-", "m-")
        assert champions_by_task(store) == {TASK: champion}
        assert f"{champion} became champion meanwhile" in reasons[1 - winner]


def test_champion_changed_and_restored_keeps_the_winner_out(
    store: Settings, evaluated: EvaluatedRuns
) -> None:
    judge_and_promote(store, evaluated("a", 0.3))
    late = judge_run(store, evaluated("late", 0.0, {"m-a": 0.3}))
    judge_and_promote(store, evaluated("b", 0.0, {"m-a": 0.3}))
    change_champion(store, TASK, change="rollback", why="b is dangerous", who="me")
    assert champions_by_task(store) == {TASK: "m-a"}
    assert promote(store, late, who="test") == "kept"
    assert outcome_and_reason(store, late)[1].endswith("m-a became champion meanwhile, by rollback")
    assert champions_by_task(store) == {TASK: "m-a"}


def test_pinned_champion_stays(store: Settings, evaluated: EvaluatedRuns) -> None:
    judge_and_promote(store, evaluated("old", 0.4))
    change_champion(store, TASK, change="pin", why="a study", who="me")
    with pytest.raises(TumorMLError, match=r"is pinned \(a study\).*unpin it first"):
        change_champion(store, TASK, change="rollback", why="x", who="me")
    better = evaluated("better", 0.05, {"m-old": 0.4})
    assert judge_and_promote(store, better) == "kept"
    assert champions_by_task(store) == {TASK: "m-old"}
    assert "a study" in outcome_and_reason(store, "v-better")[1]


def test_listeners_are_notified_after_the_commit(store: Settings, evaluated: EvaluatedRuns) -> None:
    url = make_url(writer_url(store))
    connection = psycopg2.connect(
        host=url.query.get("host") or url.host,
        user=url.username,
        dbname=url.database,
        port=url.port,
    )
    connection.autocommit = True
    connection.cursor().execute(f"listen {CHANNEL}")
    judge_and_promote(store, evaluated("heard", 0.1))
    assert sockets.select([connection], [], [], 5)[0]
    connection.poll()
    assert [notice.payload for notice in connection.notifies] == [
        '{"task": "four_class", "model_version": "m-heard", "change": "promotion"}'
    ]
    connection.close()
