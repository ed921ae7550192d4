"""Planning of runs by trigger, recipe, weights and champion."""

from __future__ import annotations

import signal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from tests.factories.rows import (
    Dropped,
    add_batch,
    four_class_batch,
    model_row,
    run_row,
    verdict_row,
)
from tumorml.datasets.snapshots import take_snapshot
from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.recipes.load_recipe import load_recipe, recipe_from_text
from tumorml.recipes.recipe import Recipe
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Champion, Run, SnapshotScan
from tumorml.settings import Settings
from tumorml.training import train_run as train_run_module
from tumorml.training.plan_run import Plan, plan_run
from tumorml.training.train_run import train_run

TASK = Task.FOUR_CLASS


def plan(settings: Settings, trigger: str, **options: Any) -> Plan:
    return plan_run(settings, take_snapshot(settings, TASK), task=TASK, trigger=trigger, **options)


def judge(settings: Settings, run_id: str) -> None:
    with write_session(settings) as session:
        session.add(model_row("m", run_id, TASK))
        session.flush()
        session.add(verdict_row("v", run_id, TASK, "m", outcome="rejected"))


@pytest.fixture
def store(settings: Settings) -> Settings:
    add_batch(settings, "b", four_class_batch())
    return settings


def test_same_trigger_gives_the_same_run_after_new_scans(store: Settings) -> None:
    first = plan(store, "manual-1").run_id
    add_batch(store, "b2", [Dropped("new", "glioma", "new")])
    assert plan(store, "manual-1").run_id == first
    assert plan(store, "manual-2").run_id != first


def test_recipe_judged_on_the_snapshot_needs_no_run(store: Settings) -> None:
    run_id = plan(store, "one").run_id
    assert run_id is not None
    assert plan(store, "two").run_id is not None
    judge(store, run_id)
    # The challenger lost without a champion, and there is still none: only `force` or a change of
    # recipe or data needs another run.
    skipped = plan(store, "three")
    forced = plan(store, "four", force=True)
    assert forced.run_id is not None
    assert skipped.run_id is None and "Nothing new for four_class" in skipped.reason
    assert plan(store, "five", seed=1).run_id is not None
    assert plan(store, "six", epochs=1).run_id is not None


def test_unknown_recipe_error_names_it(store: Settings) -> None:
    with pytest.raises(TumorMLError, match="no recipe 'nothing'"):
        plan(store, "one", recipe="nothing")


def test_changed_weights_file_needs_a_new_run(store: Settings, tmp_path: Path) -> None:
    weights, recipe = tmp_path / "of.keras", tmp_path / "mine.toml"
    text = load_recipe("baseline-cnn").text
    recipe.write_text(text.replace('weights = "none"', f'weights = "{weights}"'))
    weights.write_bytes(b"PK some")
    first = plan(store, "one", recipe=str(recipe)).run_id
    assert first is not None
    with read_session(store) as session:
        assert session.get_one(Run, first).weights_sha256 == sha256(b"PK some").hexdigest()
    judge(store, first)
    assert plan(store, "two", recipe=str(recipe)).run_id is None
    planned = str(plan(store, "three", recipe=str(recipe), force=True).run_id)
    weights.write_bytes(b"PK others")
    assert plan(store, "two", recipe=str(recipe)).run_id is not None
    with pytest.raises(TumorMLError, match=f"but {weights} has"):
        train_run(store, planned)


def test_champion_with_an_unreadable_recipe_gives_no_warm_start(
    store: Settings, tmp_path: Path
) -> None:
    recipe = tmp_path / "warm.toml"
    recipe.write_text(load_recipe("baseline-cnn").with_fields(warm_start=True).text)
    snapshot = take_snapshot(store, TASK)
    with write_session(store) as session:
        session.add(run_row("then", TASK, snapshot, recipe_text="class_weights = true"))
        session.flush()
        session.add(model_row("m", "then", TASK))
        session.flush()
        session.add(Champion(task=TASK, model_version_id="m", change="force", who="a", why=""))
    planned = plan(store, "one", recipe=str(recipe)).run_id
    with read_session(store) as session:
        assert session.get_one(Run, planned).warm_start_id is None


def test_training_under_airflow_ends_on_sigterm(
    store: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers = []

    def listen(*_: object, **__: object) -> None:
        handlers.append(signal.getsignal(signal.SIGTERM))
        raise TumorMLError("stopped by the test")

    monkeypatch.setattr(train_run_module, "train_model", listen)
    before = signal.getsignal(signal.SIGTERM)
    run_id = plan(store, "one", recipe="baseline-cnn").run_id
    with pytest.raises(TumorMLError, match="stopped by the test"):
        train_run(store, str(run_id))
    assert handlers != [before] and signal.getsignal(signal.SIGTERM) == before


def test_evidence_map_is_planned_only_with_training_masks(store: Settings) -> None:
    snapshot = take_snapshot(store, Task.FOUR_CLASS)
    planned = plan_run(store, snapshot, task=Task.FOUR_CLASS, trigger="t1")
    assert recipe_text(store, planned).evidence is None
    with write_session(store) as session:
        session.execute(
            update(SnapshotScan).where(SnapshotScan.split == "train").values(masked=True)
        )
    planned = plan_run(store, snapshot, task=Task.FOUR_CLASS, trigger="t2")
    assert recipe_text(store, planned) == load_recipe("efficientnet-lite0")


def recipe_text(settings: Settings, planned: Plan) -> Recipe:
    with read_session(settings) as session:
        return recipe_from_text(session.get_one(Run, planned.run_id).recipe_text)
