"""Verdicts and champions in the results store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import func, select, text

from tests.rows import Dropped, add_batch
from tumorml.datasets.snapshots import read_snapshot, take_snapshot
from tumorml.errors import TumorMLError
from tumorml.evaluation.metrics import score
from tumorml.evaluation.predictions import Answers, write_predictions
from tumorml.labels import LABELS, Task
from tumorml.promotion.champion import champions, change_champion
from tumorml.promotion.judge import judge_run, promote
from tumorml.results.bulk import copy_rows
from tumorml.results.session import reading, writing
from tumorml.results.tables import Champion, Evaluation, ModelVersion, Run, Verdict, VerdictRule
from tumorml.settings import Settings

TASK = Task.FOUR_CLASS
NAMES = LABELS[TASK]


def verdict_outcome(settings: Settings, verdict_id: str) -> tuple[str, str]:
    with reading(settings) as session:
        verdict = session.get_one(Verdict, verdict_id)
        return verdict.outcome, verdict.reason


def evaluated_run(
    settings: Settings,
    name: str,
    error: float,
    *,
    champion: tuple[str, float] | None = None,
    given_split: bool = False,
) -> str:
    """A run whose model, and the champion beside it, answered the test scans with these errors."""
    snapshot = take_snapshot(settings, TASK)
    test = [e for e in read_snapshot(settings, snapshot) if e.split == "test"]
    truth = np.array([NAMES.index(e.label) for e in test])
    draw = np.random.default_rng(3).random(len(test))
    run_id, model = f"r-{name}", f"m-{name}"
    with writing(settings) as session:
        session.add(
            Run(
                id=run_id,
                task=TASK,
                snapshot_id=snapshot,
                recipe="made up",
                recipe_text="",
                recipe_digest=name,
                seed=1,
                epochs=1,
                trigger="test",
                state="evaluated",
                given_split=given_split,
            )
        )
        session.flush()
        session.add(
            ModelVersion(
                id=model,
                run_id=run_id,
                task=TASK,
                labels=list(NAMES),
                input_size=1,
                parameters=1,
                object_key="",
                sha256="",
                size_bytes=1,
                given_split=given_split,
            )
        )
        session.flush()
        for contender, share in [(model, error), *([champion] if champion else [])]:
            predicted = np.where(draw < share, (truth + 1) % 4, truth)
            probabilities = np.full((len(test), 4), 0.02, dtype=np.float32)
            probabilities[np.arange(len(test)), predicted] = 0.94
            groups = [e.group_id for e in test]
            write_predictions(
                session,
                Answers([e.scan_id for e in test], NAMES, probabilities, truth),
                task=TASK,
                model_version_id=contender,
                run_id=run_id,
                source="evaluation",
                created_at=datetime.now(UTC),
            )
            copy_rows(
                session,
                Evaluation,
                [
                    {
                        "run_id": run_id,
                        "model_version_id": contender,
                        "split": "test",
                        "metric": m.metric,
                        "slice": m.slice,
                        "value": m.value,
                        "low": m.low,
                        "high": m.high,
                        "scans": m.scans,
                    }
                    for m in score(truth, probabilities, groups, NAMES, resamples=200)
                ],
            )
    return run_id


@pytest.fixture
def store(settings: Settings) -> Settings:
    """A results store with many labelled scans, each a patient of its own."""
    add_batch(
        settings, "b", [Dropped(f"{n}-{i}", n, f"{n}-{i}") for n in NAMES for i in range(120)]
    )
    return settings


def judged(settings: Settings, run_id: str) -> str:
    return promote(settings, judge_run(settings, run_id), who="test")


def test_the_first_model_that_reaches_the_floors_is_champion(store: Settings) -> None:
    assert judged(store, evaluated_run(store, "poor", 0.8)) == "rejected"
    assert champions(store) == {}
    assert judged(store, evaluated_run(store, "good", 0.2)) == "promoted"
    assert champions(store) == {TASK: "m-good"}


def test_only_a_better_challenger_replaces_the_champion(store: Settings) -> None:
    judged(store, evaluated_run(store, "old", 0.3))
    equal = evaluated_run(store, "equal", 0.3, champion=("m-old", 0.3))
    assert judged(store, equal) == "kept"
    assert champions(store) == {TASK: "m-old"}
    better = evaluated_run(store, "better", 0.05, champion=("m-old", 0.3))
    assert judged(store, better) == "promoted"
    assert champions(store) == {TASK: "m-better"}
    with reading(store) as session:
        rules = session.scalars(
            select(VerdictRule).where(VerdictRule.verdict_id == "v-better")
        ).all()
        disagreements = session.execute(
            text("select count(*) from disagreement where run = 'r-better'")
        ).scalar_one()
    assert [r.rule for r in rules].count("recall_non_inferiority") == 4
    assert disagreements > 0


def test_judging_and_promoting_twice_leaves_the_rows_of_once(store: Settings) -> None:
    run_id = evaluated_run(store, "one", 0.1)
    assert judged(store, run_id) == judged(store, run_id) == "promoted"
    with reading(store) as session:
        assert session.scalar(select(func.count()).select_from(Champion)) == 1


def test_promoting_again_later_neither_undoes_a_rollback_nor_rewrites_a_verdict(
    store: Settings,
) -> None:
    judged(store, evaluated_run(store, "a", 0.4))
    run_b = evaluated_run(store, "b", 0.05, champion=("m-a", 0.4))
    judged(store, run_b)
    change_champion(store, TASK, change="rollback", why="recall", who="me")
    assert judged(store, run_b) == "promoted"
    assert champions(store) == {TASK: "m-a"}
    assert judged(store, "r-a") == "promoted"
    assert champions(store) == {TASK: "m-a"}


def test_one_request_changes_the_champion_once(store: Settings) -> None:
    judged(store, evaluated_run(store, "a", 0.4))
    judged(store, evaluated_run(store, "b", 0.05, champion=("m-a", 0.4)))
    for _ in range(2):
        target = change_champion(
            store, TASK, change="rollback", why="recall", who="me", request="manual-1"
        )
        assert target == "m-a"
    with reading(store) as session:
        assert session.scalar(select(func.count()).select_from(Champion)) == 3


def test_a_winner_over_a_champion_of_yesterday_is_kept_out_and_told_why(store: Settings) -> None:
    judged(store, evaluated_run(store, "old", 0.4))
    first = evaluated_run(store, "first", 0.1, champion=("m-old", 0.4))
    second = evaluated_run(store, "second", 0.05, champion=("m-old", 0.4))
    assert judged(store, first) == "promoted"
    assert judged(store, second) == "kept"
    assert "m-first became champion meanwhile" in verdict_outcome(store, "v-second")[1]


def test_two_winners_at_once_leave_one_champion(store: Settings) -> None:
    judged(store, evaluated_run(store, "old", 0.4))
    runs = [evaluated_run(store, f"n{i}", 0.1, champion=("m-old", 0.4)) for i in range(4)]
    verdicts = [judge_run(store, run) for run in runs]
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda verdict: promote(store, verdict, who="test"), verdicts))
    assert sorted(outcomes) == ["kept", "kept", "kept", "promoted"]


def test_a_pinned_champion_stays(store: Settings) -> None:
    judged(store, evaluated_run(store, "old", 0.4))
    change_champion(store, TASK, change="pin", why="a study", who="me")
    better = evaluated_run(store, "better", 0.05, champion=("m-old", 0.4))
    assert judged(store, better) == "kept"
    assert "a study" in verdict_outcome(store, "v-better")[1]


def test_a_benchmark_on_a_given_split_never_serves(store: Settings) -> None:
    run = evaluated_run(store, "bench", 0.0, given_split=True)
    assert judged(store, run) == "rejected"
    judged(store, evaluated_run(store, "fair", 0.2))
    with pytest.raises(TumorMLError, match="given split"):
        change_champion(store, TASK, change="pin", why="x", who="me", model_version_id="m-bench")


def test_rollback_goes_back_and_forth_and_tells_the_story(store: Settings) -> None:
    judged(store, evaluated_run(store, "a", 0.4))
    judged(store, evaluated_run(store, "b", 0.05, champion=("m-a", 0.4)))
    assert change_champion(store, TASK, change="rollback", why="recall", who="me") == "m-a"
    with pytest.raises(TumorMLError, match="nothing to go back to"):
        change_champion(store, TASK, change="rollback", why="again", who="me")
    forth = {"change": "rollback", "why": "fixed", "who": "me", "model_version_id": "m-b"}
    assert change_champion(store, TASK, **forth) == "m-b"
    with reading(store) as session:
        story = session.execute(
            text("select model_version, change, why from champion_history order by since")
        ).all()
    assert [tuple(row)[:2] for row in story] == [
        ("m-a", "promotion"),
        ("m-b", "promotion"),
        ("m-a", "rollback"),
        ("m-b", "rollback"),
    ]


def test_a_model_that_never_served_can_be_pinned_but_not_rolled_back_to(store: Settings) -> None:
    judged(store, evaluated_run(store, "a", 0.05))
    judged(store, evaluated_run(store, "b", 0.4, champion=("m-a", 0.05)))
    change = {"why": "x", "who": "me", "model_version_id": "m-b"}
    with pytest.raises(TumorMLError, match=r"never champion .* \(verdict kept"):
        change_champion(store, TASK, change="rollback", **change)
    assert change_champion(store, TASK, change="pin", **change) == "m-b"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"change": "rollback", "why": " "}, "needs a reason"),
        ({"change": "dethrone", "why": "x"}, "dethrone"),
        ({"change": "rollback", "why": "x"}, "nothing to go back to"),
        ({"change": "unpin", "why": "x"}, "not pinned"),
        ({"change": "pin", "why": "x", "model_version_id": "m-nobody"}, "newest are m-a"),
    ],
)
def test_an_impossible_change_is_refused_with_its_reason(
    store: Settings, arguments: dict[str, str], reason: str
) -> None:
    with pytest.raises(TumorMLError, match=r"no champion yet|needs a reason|dethrone"):
        change_champion(store, TASK, who="me", **arguments)
    judged(store, evaluated_run(store, "a", 0.1))
    with pytest.raises(TumorMLError, match=reason):
        change_champion(store, TASK, who="me", **arguments)
