"""Verdicts and champions in the results store."""

from __future__ import annotations

import select as sockets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.engine import make_url

from tests.factories.rows import Dropped, add_batch
from tests.factories.runs import GOLDEN_SCAN, NAMES, TASK, damage, forgiving
from tests.promotion.conftest import Evaluated
from tumorml.errors import TumorMLError
from tumorml.evaluation.contenders import contenders_evaluated, contenders_today
from tumorml.models.artifact import read_description
from tumorml.objects import object_store
from tumorml.promotion.champion import CHANNEL, champions, change_champion
from tumorml.promotion.judge import judge_run
from tumorml.promotion.promote import promote
from tumorml.results.champions import current_champions
from tumorml.results.session import read_session, write_session, writer_url
from tumorml.results.tables import Champion, ModelVersion, Run, SnapshotScan, Verdict, VerdictRule
from tumorml.settings import Settings


def verdict_outcome(settings: Settings, verdict_id: str) -> tuple[str, str]:
    with read_session(settings) as session:
        verdict = session.get_one(Verdict, verdict_id)
        return verdict.outcome, verdict.reason


def judged(settings: Settings, run_id: str) -> str:
    return promote(settings, judge_run(settings, run_id), who="test")


def test_the_first_model_that_reaches_the_floors_is_champion(
    store: Settings, evaluated: Evaluated
) -> None:
    assert judged(store, evaluated("poor", 0.8)) == "rejected"
    assert champions(store) == {}
    assert judged(store, evaluated("good", 0.2)) == "promoted"
    assert champions(store) == {TASK: "m-good"}


def test_only_a_better_challenger_replaces_the_champion(
    store: Settings, evaluated: Evaluated
) -> None:
    judged(store, evaluated("old", 0.3))
    equal = evaluated("equal", 0.3, {"m-old": 0.3})
    assert judged(store, equal) == "kept"
    assert champions(store) == {TASK: "m-old"}
    better = evaluated("better", 0.05, {"m-old": 0.3})
    assert judged(store, better) == "promoted"
    assert champions(store) == {TASK: "m-better"}
    with read_session(store) as session:
        rules = session.scalars(
            select(VerdictRule).where(VerdictRule.verdict_id == "v-better")
        ).all()
        disagreements = session.execute(
            text("select count(*) from disagreement where run = 'r-better'")
        ).scalar_one()
    assert [r.rule for r in rules].count("recall_non_inferiority") == 4
    assert disagreements > 0


def test_judging_and_promoting_twice_leaves_the_rows_of_once(
    store: Settings, evaluated: Evaluated
) -> None:
    run_id = evaluated("one", 0.1)
    assert judged(store, run_id) == judged(store, run_id) == "promoted"
    with read_session(store) as session:
        assert session.scalar(select(func.count()).select_from(Champion)) == 1


def test_promoting_again_later_neither_undoes_a_rollback_nor_rewrites_a_verdict(
    store: Settings, evaluated: Evaluated
) -> None:
    judged(store, evaluated("a", 0.4))
    run_b = evaluated("b", 0.05, {"m-a": 0.4})
    judged(store, run_b)
    change_champion(store, TASK, change="rollback", why="recall", who="me")
    assert judged(store, run_b) == "promoted"
    assert champions(store) == {TASK: "m-a"}
    assert judged(store, "r-a") == "promoted"
    assert champions(store) == {TASK: "m-a"}


def test_one_request_changes_the_champion_once(store: Settings, evaluated: Evaluated) -> None:
    judged(store, evaluated("a", 0.4))
    judged(store, evaluated("b", 0.05, {"m-a": 0.4}))
    for _ in range(2):
        target = change_champion(
            store, TASK, change="rollback", why="recall", who="me", request="manual-1"
        )
        assert target == "m-a"
    with read_session(store) as session:
        assert session.scalar(select(func.count()).select_from(Champion)) == 3


def test_a_winner_over_a_champion_of_yesterday_is_kept_out_and_told_why(
    store: Settings, evaluated: Evaluated
) -> None:
    judged(store, evaluated("old", 0.4))
    first = evaluated("first", 0.1, {"m-old": 0.4})
    second = evaluated("second", 0.05, {"m-old": 0.4})
    assert judged(store, first) == "promoted"
    assert judged(store, second) == "kept"
    assert "m-first became champion meanwhile" in verdict_outcome(store, "v-second")[1]


def test_of_two_judged_at_once_exactly_one_becomes_champion_and_the_other_is_told_why(
    store: Settings, evaluated: Evaluated, tmp_path: Path
) -> None:
    policy = forgiving(tmp_path, budget=1000, alpha=0.4)
    store = store.model_copy(update={"promotion_policy": policy})
    champion = "m-first"
    assert judged(store, evaluated("first", 0.3)) == "promoted"
    for number in range(50):
        runs = [evaluated(f"{number}{side}", 0.0, {champion: 0.3, "m-first": 0.3}) for side in "ab"]
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(lambda run: judged(store, run), runs))
        told = [verdict_outcome(store, run.replace("r-", "v-"))[1] for run in runs]
        assert sorted(outcomes) == ["kept", "promoted"], told
        winner, loser = sorted(runs, key=lambda run: outcomes[runs.index(run)], reverse=True)
        champion = winner.replace("r-", "m-")
        assert champions(store) == {TASK: champion}
        reason = verdict_outcome(store, loser.replace("r-", "v-"))[1]
        assert f"{champion} became champion meanwhile" in reason


def test_a_pinned_champion_stays(store: Settings, evaluated: Evaluated) -> None:
    judged(store, evaluated("old", 0.4))
    change_champion(store, TASK, change="pin", why="a study", who="me")
    with pytest.raises(TumorMLError, match=r"is pinned \(a study\): unpin it first"):
        change_champion(store, TASK, change="rollback", why="x", who="me")
    better = evaluated("better", 0.05, {"m-old": 0.4})
    assert judged(store, better) == "kept"
    assert "a study" in verdict_outcome(store, "v-better")[1]


def test_a_benchmark_on_a_given_split_never_serves(store: Settings, evaluated: Evaluated) -> None:
    run = evaluated("bench", 0.0, given_split=True)
    assert judged(store, run) == "rejected"
    judged(store, evaluated("fair", 0.2))
    with pytest.raises(TumorMLError, match="given split"):
        change_champion(store, TASK, change="pin", why="x", who="me", model_version_id="m-bench")


def test_rollback_goes_back_and_forth_and_tells_the_story(
    store: Settings, evaluated: Evaluated
) -> None:
    judged(store, evaluated("a", 0.4))
    judged(store, evaluated("b", 0.05, {"m-a": 0.4}))
    assert change_champion(store, TASK, change="rollback", why="recall", who="me") == "m-a"
    with pytest.raises(TumorMLError, match="nothing to go back to"):
        change_champion(store, TASK, change="rollback", why="again", who="me")
    forth = {"change": "rollback", "why": "fixed", "who": "me", "model_version_id": "m-b"}
    assert change_champion(store, TASK, **forth) == "m-b"
    with read_session(store) as session:
        story = session.execute(
            text("select model_version, change, why from champion_history order by since")
        ).all()
    assert [tuple(row)[:2] for row in story] == [
        ("m-a", "promotion"),
        ("m-b", "promotion"),
        ("m-a", "rollback"),
        ("m-b", "rollback"),
    ]


def test_a_model_that_never_served_can_be_pinned_but_not_rolled_back_to(
    store: Settings, evaluated: Evaluated
) -> None:
    judged(store, evaluated("a", 0.05))
    judged(store, evaluated("b", 0.4, {"m-a": 0.05}))
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
    store: Settings, evaluated: Evaluated, arguments: dict[str, str], reason: str
) -> None:
    with pytest.raises(TumorMLError, match=r"no champion yet|needs a reason|dethrone"):
        change_champion(store, TASK, who="me", **arguments)
    judged(store, evaluated("a", 0.1))
    with pytest.raises(TumorMLError, match=reason):
        change_champion(store, TASK, who="me", **arguments)


def rules_of(settings: Settings, verdict_id: str) -> dict[str, str]:
    with read_session(settings) as session:
        rows = session.scalars(select(VerdictRule).where(VerdictRule.verdict_id == verdict_id))
        return {row.rule: f"{row.result}: {row.explanation}" for row in rows}


def test_a_changed_artifact_is_rejected_by_the_golden_scans(
    store: Settings, evaluated: Evaluated
) -> None:
    for file in ("model.keras", "model.json"):
        name = file.replace(".", "-")
        run = evaluated(name, 0.0)
        damage(store, f"m-{name}", file)
        assert judged(store, run) == "rejected"
        assert f"{file} of model version" in rules_of(store, f"v-{name}")["golden_scans"]


def test_an_artifact_that_answers_otherwise_than_in_training_is_rejected(
    store: Settings, evaluated: Evaluated, tiny_model: Path
) -> None:
    run = evaluated("other", 0.0)
    description = read_description(tiny_model)
    other = description.model_copy(update={"golden": {GOLDEN_SCAN: [0.97, 0.01, 0.01, 0.01]}})
    object_store(store).write("models/m-other/model.json", other.model_dump_json().encode())
    with write_session(store) as session:
        session.execute(update(ModelVersion).values(description_sha256=None))
    assert judged(store, run) == "rejected"
    assert "probabilities differ by" in rules_of(store, "v-other")["golden_scans"]


def test_a_challenger_trained_on_test_scans_is_rejected(
    store: Settings, evaluated: Evaluated
) -> None:
    run = evaluated("smuggled", 0.0)
    with write_session(store) as session:
        entry = session.scalars(select(SnapshotScan).where(SnapshotScan.split == "test")).first()
        assert entry is not None
        session.add(
            SnapshotScan(
                snapshot_id=entry.snapshot_id,
                scan_id=entry.scan_id,
                split="train",
                label=entry.label,
                group_id=entry.group_id,
            )
        )
    assert judged(store, run) == "rejected"
    assert rules_of(store, "v-smuggled")["leak_check"].startswith("failed: 1 test scans")


def test_the_challenger_is_also_held_against_the_first_champion(
    store: Settings, evaluated: Evaluated, tmp_path: Path
) -> None:
    judged(store, evaluated("first", 0.0))
    judged(store, evaluated("worse", 0.6, {"m-first": 0.0}))
    change = {"why": "a drill", "who": "me"}
    change_champion(store, TASK, change="force", model_version_id="m-worse", **change)
    run = evaluated("better", 0.3, {"m-worse": 0.6, "m-first": 0.0})
    with read_session(store) as session:
        today = contenders_today(session, session.get_one(Run, run))
        assert today == contenders_evaluated(session, session.get_one(Run, run))
        assert (today.champion, today.anchor) == ("m-worse", "m-first")
    policy = forgiving(tmp_path, anchor_margin_points=5)
    assert judged(store.model_copy(update={"promotion_policy": policy}), run) == "kept"
    rules = rules_of(store, "v-better")
    assert rules["gain_f1_macro"].startswith("passed")
    assert rules["anchor_non_inferiority"].startswith("failed")
    assert change_champion(store, TASK, change="authorise", **change) == "m-worse"
    with read_session(store) as session:
        assert contenders_today(session, session.get_one(Run, run)).anchor is None


def test_a_champion_that_came_back_meanwhile_is_not_the_one_that_was_challenged(
    store: Settings, evaluated: Evaluated
) -> None:
    judged(store, evaluated("a", 0.3))
    late = judge_run(store, evaluated("late", 0.0, {"m-a": 0.3}))
    judged(store, evaluated("b", 0.0, {"m-a": 0.3}))
    change_champion(store, TASK, change="rollback", why="b is dangerous", who="me")
    assert champions(store) == {TASK: "m-a"}
    assert promote(store, late, who="test") == "kept"
    assert verdict_outcome(store, late)[1].endswith("m-a became champion meanwhile, by rollback")
    assert champions(store) == {TASK: "m-a"}


def test_nobody_serves_whose_artifact_is_damaged(store: Settings, evaluated: Evaluated) -> None:
    judged(store, evaluated("a", 0.1))
    run = evaluated("b", 0.0, {"m-a": 0.1})
    damage(store, "m-b")
    assert judged(store, run) == "rejected"
    for change in ("force", "pin"):
        with pytest.raises(TumorMLError, match="has been changed"):
            change_champion(store, TASK, change=change, why="x", who="me", model_version_id="m-b")
    assert champions(store) == {TASK: "m-a"}


def test_looks_at_one_test_set_are_counted_and_run_out(
    store: Settings, evaluated: Evaluated, tmp_path: Path
) -> None:
    strict = store.model_copy(update={"promotion_policy": forgiving(tmp_path, budget=2)})
    judged(strict, evaluated("first", 0.2))
    looks = [judged(strict, evaluated(f"n{number}", 0.2, {"m-first": 0.2})) for number in range(3)]
    assert looks == ["kept", "kept", "insufficient"]
    with read_session(store) as session:
        rows = session.execute(
            select(Verdict.test_set_id, Verdict.look)
            .where(~Verdict.run_id.startswith("r-benchmark"))
            .order_by(Verdict.created_at)
        ).all()
    assert [tuple(row) for row in rows] == [
        (None, None),
        ("t-four_class-1", 1),
        ("t-four_class-1", 2),
        ("t-four_class-1", None),
    ]


def test_a_larger_budget_does_not_give_back_what_was_spent(
    store: Settings, evaluated: Evaluated, tmp_path: Path
) -> None:
    judged(store, evaluated("first", 0.2))
    for budget, outcome in ((1, "kept"), (100, "insufficient")):
        policy = forgiving(tmp_path, budget=budget)
        strict = store.model_copy(update={"promotion_policy": policy})
        run = evaluated(f"n{budget}", 0.2, {"m-first": 0.2})
        assert judged(strict, run) == outcome


def test_a_test_set_is_a_new_version_when_enough_of_its_groups_are_new(
    store: Settings, evaluated: Evaluated
) -> None:
    judged(store, evaluated("first", 0.2))
    for count, version in ((8, 1), (80, 2)):
        new = [
            Dropped(f"{n}-{count}-{i}", n, f"{n}{count}{i}") for n in NAMES for i in range(count)
        ]
        add_batch(store, f"b{count}", new)
        judged(store, evaluated(f"n{count}", 0.2, {"m-first": 0.2}))
        with read_session(store) as session:
            verdict = session.get_one(Verdict, f"v-n{count}")
            assert (verdict.test_set_id, verdict.look) == (f"t-four_class-{version}", 1)


def test_a_winner_with_another_input_size_waits_for_a_person(
    store: Settings, evaluated: Evaluated
) -> None:
    judged(store, evaluated("old", 0.4))
    verdict_id = judge_run(store, evaluated("wider", 0.0, {"m-old": 0.4}, input_size=64))
    with pytest.raises(TumorMLError, match=r"waits for a person.*input size 32 -> 64"):
        promote(store, verdict_id, who="test")
    assert champions(store) == {TASK: "m-old"}


def test_servers_that_listen_hear_of_a_new_champion_once_it_is_committed(
    store: Settings, evaluated: Evaluated
) -> None:
    url = make_url(writer_url(store))
    connection = psycopg2.connect(
        host=url.query.get("host") or url.host,
        user=url.username,
        dbname=url.database,
        port=url.port,
    )
    connection.autocommit = True
    connection.cursor().execute(f"listen {CHANNEL}")
    judged(store, evaluated("heard", 0.1))
    assert sockets.select([connection], [], [], 5)[0]
    connection.poll()
    assert [notice.payload for notice in connection.notifies] == [
        '{"task": "four_class", "model_version": "m-heard", "change": "promotion"}'
    ]
    connection.close()


def test_a_model_that_did_not_win_is_forced_with_a_reason(
    store: Settings, evaluated: Evaluated
) -> None:
    judged(store, evaluated("a", 0.0))
    judged(store, evaluated("b", 0.4, {"m-a": 0.0}))
    with pytest.raises(TumorMLError, match="which model version"):
        change_champion(store, TASK, change="force", why="x", who="me")
    change = {"change": "force", "why": "a drill", "who": "me", "model_version_id": "m-b"}
    assert change_champion(store, TASK, **change) == "m-b"
    with read_session(store) as session:
        (row,) = current_champions(session)
        assert (row.change, row.why, row.pinned) == ("force", "a drill", False)
