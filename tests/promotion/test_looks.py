"""Looks at the versions of a test set."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from tests.factories.rows import Dropped, add_batch
from tests.factories.runs import NAMES, EvaluatedRuns, judge_and_promote, lenient_policy
from tumorml.results.session import read_session
from tumorml.results.tables import Verdict
from tumorml.settings import Settings


def test_looks_at_one_test_set_are_counted_and_run_out(
    store: Settings, evaluated: EvaluatedRuns, tmp_path: Path
) -> None:
    strict = store.model_copy(update={"promotion_policy": lenient_policy(tmp_path, budget=2)})
    judge_and_promote(strict, evaluated("first", 0.2))
    outcomes = [
        judge_and_promote(strict, evaluated(f"n{number}", 0.2, {"m-first": 0.2}))
        for number in range(3)
    ]
    assert outcomes == ["kept", "kept", "insufficient"]
    with read_session(store) as session:
        rows = session.execute(
            select(Verdict.test_set_id, Verdict.look).order_by(Verdict.created_at)
        ).all()
    assert [tuple(row) for row in rows] == [
        (None, None),
        ("t-four_class-1", 1),
        ("t-four_class-1", 2),
        ("t-four_class-1", None),
    ]


def test_larger_budget_does_not_return_spent_alpha(
    store: Settings, evaluated: EvaluatedRuns, tmp_path: Path
) -> None:
    judge_and_promote(store, evaluated("first", 0.2))
    for budget, outcome in ((1, "kept"), (100, "insufficient")):
        policy = lenient_policy(tmp_path, budget=budget)
        strict = store.model_copy(update={"promotion_policy": policy})
        run = evaluated(f"n{budget}", 0.2, {"m-first": 0.2})
        assert judge_and_promote(strict, run) == outcome


def test_enough_new_groups_make_a_new_test_set_version(
    store: Settings, evaluated: EvaluatedRuns
) -> None:
    judge_and_promote(store, evaluated("first", 0.2))
    for count, version in ((8, 1), (80, 2)):
        new_scans = [
            Dropped(f"{name}-{count}-{number}", name, f"{name}{count}{number}")
            for name in NAMES
            for number in range(count)
        ]
        add_batch(store, f"b{count}", new_scans)
        judge_and_promote(store, evaluated(f"n{count}", 0.2, {"m-first": 0.2}))
        with read_session(store) as session:
            verdict = session.get_one(Verdict, f"v-n{count}")
            assert (verdict.test_set_id, verdict.look) == (f"t-four_class-{version}", 1)
