"""Runs without Airflow: every recipe, and a run that is killed several times."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from tumorml.datasets.snapshots import take_snapshot
from tumorml.demo.drop import write_demo_drop
from tumorml.evaluation.evaluate_run import evaluate_run
from tumorml.explain.explain_run import explain_run
from tumorml.labels import LABELS, Task
from tumorml.recipes.load_recipe import load_recipe, recipe_names
from tumorml.results.session import read_session
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.scans.ingest.put_drop import put_drop
from tumorml.settings import PROJECT_ROOT, Settings
from tumorml.training.plan_run import plan_run
from tumorml.training.train_run import train_run

DAG_TESTS = PROJECT_ROOT / "tests" / "dags"


def ingest_demo(settings: Settings, folder: Path) -> None:
    write_demo_drop(folder, slices_per_patient=2)
    put_drop(settings, folder, "drop")
    for batch_id in claim_drops(settings):
        ingest_batch(settings, batch_id)


@pytest.mark.parametrize("task", Task)
def test_every_recipe_trains_for_both_tasks(task: Task, settings: Settings, tmp_path: Path) -> None:
    ingest_demo(settings, tmp_path / "drop")
    for name in recipe_names():
        recipe = load_recipe(name)
        small = recipe.with_epochs(len(recipe.phases)).with_fields(
            input_size=64, weights="none", batch_normalization="adapt"
        )
        path = tmp_path / f"{name}.toml"
        path.write_text(small.text)
        snapshot_id = take_snapshot(settings, task)
        plan = plan_run(settings, snapshot_id, task=task, trigger="test", recipe=str(path))
        assert plan.run_id is not None
        train_run(settings, plan.run_id)
        evaluate_run(settings, plan.run_id)
        explain_run(settings, plan.run_id)
    with read_session(settings) as session:
        found = session.execute(
            text(
                "select r.recipe, r.epochs = (select count(*) from epoch p where p.run_id = r.id), "
                "m.labels, (select count(*) from prediction p where p.model_version_id = m.id) - "
                "(select count(*) from snapshot_scan s where s.snapshot_id = r.snapshot_id "
                "and split = 'test'), exists (select from artifact a where a.run_id = r.id "
                "and kind = 'heatmap') "
                "from run r join model_version m on m.run_id = r.id order by 1"
            )
        ).all()
    assert found == [(name, True, list(LABELS[task]), 0, True) for name in recipe_names()]


@pytest.mark.slow
def test_repeatedly_killed_run_has_each_epoch_once(settings: Settings, tmp_path: Path) -> None:
    settings = settings.model_copy(
        update={
            "default_recipe": str(DAG_TESTS / "tiny.toml"),
            "promotion_policy": DAG_TESTS / "lenient.toml",
        }
    )
    ingest_demo(settings, tmp_path / "drop")
    snapshot_id = take_snapshot(settings, Task.FOUR_CLASS)
    run_id = plan_run(settings, snapshot_id, task=Task.FOUR_CLASS, trigger="test").run_id
    environment = {
        **os.environ,
        **{
            f"TUMORML_{name.upper()}": str(getattr(settings, name))
            for name in ("home", "database_url", "reader_database_url", "promotion_policy")
        },
    }
    resume = [sys.executable, "-m", "tumorml.cli", "resume", str(run_id)]

    def epochs() -> int:
        with read_session(settings) as session:
            return int(session.execute(text("select count(*) from epoch")).scalar_one())

    for kill_at in (2, 5, 8):
        process = subprocess.Popen(resume, env=environment, cwd=PROJECT_ROOT)
        while epochs() < kill_at:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    for _ in range(2):
        subprocess.run(resume, env=environment, cwd=PROJECT_ROOT, check=True)
    with read_session(settings) as session:
        found = session.execute(
            text("select epoch from epoch where run_id = :run order by 1"), {"run": run_id}
        ).scalars()
        assert list(found) == list(range(1, 11))
        counts = session.execute(
            text(
                "select (select count(*) from model_version), (select count(*) from verdict), "
                "(select count(*) from champion), (select count(*) from prediction) - "
                "(select count(*) from snapshot_scan where split = 'test')"
            )
        ).one()
    assert tuple(counts) == (1, 1, 1, 0)
