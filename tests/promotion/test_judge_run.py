"""Verdicts in the results store."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select, text, update

from tests.factories.runs import (
    GOLDEN_SCAN,
    TASK,
    EvaluatedRuns,
    damage_model,
    judge_and_promote,
    lenient_policy,
    stored_results,
)
from tumorml.errors import TumorMLError
from tumorml.evaluation.contenders import current_contenders, evaluated_contenders
from tumorml.models.artifact import read_description
from tumorml.objects import object_store
from tumorml.promotion.champion import champions_by_task, change_champion
from tumorml.promotion.judge_run import judge_run
from tumorml.promotion.promote import promote
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Champion, ModelVersion, Run, SnapshotScan, Verdict, VerdictRule
from tumorml.settings import Settings

NAMES_OF_A_COMPARISON = [
    "leak_check",
    "golden_scans",
    "golden_latency",
    "f1_floor",
    *["recall_floor"] * 4,
    "calibration_ceiling",
    "gain_f1_macro",
    "gain_mcnemar",
    *["recall_non_inferiority"] * 4,
    "missed_tumor_non_inferiority",
    "calibration_non_inferiority",
    "anchor_non_inferiority",
    "look_budget",
]
"""Stored names of results in their order; those of rules added later may stand between them."""


def test_first_model_that_reaches_the_floors_is_champion(
    store: Settings, evaluated: EvaluatedRuns
) -> None:
    assert judge_and_promote(store, evaluated("poor", 0.8)) == "rejected"
    assert champions_by_task(store) == {}
    assert judge_and_promote(store, evaluated("good", 0.2)) == "promoted"
    assert champions_by_task(store) == {TASK: "m-good"}


def test_only_a_better_challenger_replaces_the_champion(
    store: Settings, evaluated: EvaluatedRuns
) -> None:
    judge_and_promote(store, evaluated("old", 0.3))
    equal = evaluated("equal", 0.3, {"m-old": 0.3})
    assert judge_and_promote(store, equal) == "kept"
    assert champions_by_task(store) == {TASK: "m-old"}
    better = evaluated("better", 0.05, {"m-old": 0.3})
    assert judge_and_promote(store, better) == "promoted"
    assert champions_by_task(store) == {TASK: "m-better"}
    with read_session(store) as session:
        rules = session.scalars(
            select(VerdictRule.rule)
            .where(VerdictRule.verdict_id == "v-better")
            .order_by(VerdictRule.position)
        ).all()
        disagreements = session.execute(
            text("select count(*) from disagreement where run = 'r-better'")
        ).scalar_one()
    assert [name for name in rules if name in NAMES_OF_A_COMPARISON] == NAMES_OF_A_COMPARISON
    assert disagreements > 0


def test_judging_and_promoting_twice_adds_no_rows(
    store: Settings, evaluated: EvaluatedRuns
) -> None:
    run_id = evaluated("one", 0.1)

    def row_counts() -> list[int | None]:
        with read_session(store) as session:
            return [
                session.scalar(select(func.count()).select_from(table))
                for table in (Verdict, VerdictRule, Champion)
            ]

    assert judge_and_promote(store, run_id) == "promoted"
    before = row_counts()
    assert judge_and_promote(store, run_id) == "promoted"
    assert row_counts() == before
    assert before[0] == before[2] == 1


def test_changed_model_file_is_rejected_by_golden_scans(
    store: Settings, evaluated: EvaluatedRuns
) -> None:
    for file in ("model.keras", "model.json"):
        name = file.replace(".", "-")
        run = evaluated(name, 0.0)
        damage_model(store, f"m-{name}", file)
        assert judge_and_promote(store, run) == "rejected"
        assert f"{file} of model version" in stored_results(store, f"v-{name}")["golden_scans"]


def test_model_with_other_answers_than_recorded_is_rejected(
    store: Settings, evaluated: EvaluatedRuns, tiny_model: Path
) -> None:
    run = evaluated("other", 0.0)
    description = read_description(tiny_model)
    other = description.model_copy(update={"golden": {GOLDEN_SCAN: [0.97, 0.01, 0.01, 0.01]}})
    object_store(store).write("models/m-other/model.json", other.model_dump_json().encode())
    with write_session(store) as session:
        session.execute(update(ModelVersion).values(description_sha256=None))
    assert judge_and_promote(store, run) == "rejected"
    golden_scans = stored_results(store, "v-other")["golden_scans"]
    assert golden_scans.startswith("failed: on 1 golden scans")
    assert "differ by at most" in golden_scans


def test_challenger_trained_on_test_scans_is_rejected(
    store: Settings, evaluated: EvaluatedRuns
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
    assert judge_and_promote(store, run) == "rejected"
    assert stored_results(store, "v-smuggled")["leak_check"].startswith("failed: 1 test scans")


def test_challenger_is_compared_with_the_first_champion_too(
    store: Settings, evaluated: EvaluatedRuns, tmp_path: Path
) -> None:
    judge_and_promote(store, evaluated("first", 0.0))
    judge_and_promote(store, evaluated("worse", 0.6, {"m-first": 0.0}))
    change = {"why": "a drill", "who": "me"}
    change_champion(store, TASK, change="force", model_version_id="m-worse", **change)
    run = evaluated("better", 0.3, {"m-worse": 0.6, "m-first": 0.0})
    with read_session(store) as session:
        today = current_contenders(session, session.get_one(Run, run))
        assert today == evaluated_contenders(session, session.get_one(Run, run))
        assert (today.champion, today.anchor) == ("m-worse", "m-first")
    policy = lenient_policy(tmp_path, anchor_margin_points=5)
    strict = store.model_copy(update={"promotion_policy": policy})
    assert judge_and_promote(strict, run) == "kept"
    results = stored_results(store, "v-better")
    assert results["gain_f1_macro"].startswith("passed")
    assert results["anchor_non_inferiority"].startswith("failed")
    assert change_champion(store, TASK, change="authorise", **change) == "m-worse"
    with read_session(store) as session:
        assert current_contenders(session, session.get_one(Run, run)).anchor is None


def test_benchmark_on_a_given_split_never_serves(store: Settings, evaluated: EvaluatedRuns) -> None:
    run = evaluated("bench", 0.0, given_split=True)
    assert judge_and_promote(store, run) == "rejected"
    assert stored_results(store, "v-bench")["own_split"].startswith("failed")
    judge_and_promote(store, evaluated("fair", 0.2))
    with pytest.raises(TumorMLError, match="given split"):
        change_champion(store, TASK, change="pin", why="x", who="me", model_version_id="m-bench")


def test_winner_with_another_input_size_waits_for_approval(
    store: Settings, evaluated: EvaluatedRuns
) -> None:
    judge_and_promote(store, evaluated("old", 0.4))
    verdict_id = judge_run(store, evaluated("wider", 0.0, {"m-old": 0.4}, input_size=64))
    with pytest.raises(TumorMLError, match=r"waits for a person.*input size 32 -> 64"):
        promote(store, verdict_id, who="test")
    assert champions_by_task(store) == {TASK: "m-old"}


def test_run_that_is_not_evaluated_cannot_be_judged(
    store: Settings, evaluated: EvaluatedRuns
) -> None:
    run = evaluated("early", 0.1)
    with write_session(store) as session:
        session.execute(update(Run).values(state="trained"))
    with pytest.raises(TumorMLError, match=r"Run r-early is trained, not evaluated"):
        judge_run(store, run)
    with pytest.raises(TumorMLError, match=r"no run 'r-none'"):
        judge_run(store, "r-none")
