"""Which run a request leads to."""

from __future__ import annotations

import pytest

from tests.datasets.test_snapshots import four_class_batch
from tests.rows import Dropped, add_batch, model_row, verdict_row
from tumorml.datasets.snapshots import take_snapshot
from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.results.session import writing
from tumorml.settings import Settings
from tumorml.training.plan import Plan, plan_run

TASK = Task.FOUR_CLASS


def plan(settings: Settings, trigger: str, **options: object) -> Plan:
    return plan_run(settings, take_snapshot(settings, TASK), task=TASK, trigger=trigger, **options)


def judge(settings: Settings, run_id: str) -> None:
    with writing(settings) as session:
        session.add(model_row("m", run_id, TASK))
        session.flush()
        session.add(verdict_row("v", run_id, TASK, "m", outcome="rejected"))


@pytest.fixture
def store(settings: Settings) -> Settings:
    add_batch(settings, "b", four_class_batch())
    return settings


def test_the_same_trigger_is_the_same_run_although_scans_came_in_since(store: Settings) -> None:
    first = plan(store, "manual-1").run_id
    add_batch(store, "b2", [Dropped("new", "glioma", "new")])
    assert plan(store, "manual-1").run_id == first
    assert plan(store, "manual-2").run_id != first


def test_a_recipe_judged_on_this_snapshot_has_nothing_new_to_do(store: Settings) -> None:
    run_id = plan(store, "one").run_id
    assert run_id is not None
    assert plan(store, "two").run_id is not None
    judge(store, run_id)
    # No champion stands now, and none stood then but the challenger lost: worth another look only
    # when somebody asks for it or something changes.
    skipped = plan(store, "three")
    forced = plan(store, "four", force=True)
    assert forced.run_id is not None
    assert skipped.run_id is None and "Nothing new for four_class" in skipped.reason
    assert plan(store, "five", seed=1).run_id is not None
    assert plan(store, "six", epochs=1).run_id is not None


def test_an_unknown_recipe_is_named(store: Settings) -> None:
    with pytest.raises(TumorMLError, match="no recipe 'nothing'"):
        plan(store, "one", recipe="nothing")
