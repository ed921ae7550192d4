"""A run that is killed, and run again, from the command line."""

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
from tumorml.labels import Task
from tumorml.results.session import reading
from tumorml.scans.claim import claim_drops
from tumorml.scans.drops import put_drop
from tumorml.scans.ingest import ingest_batch
from tumorml.settings import PROJECT_ROOT, Settings
from tumorml.training.plan import plan_run

DAG_TESTS = PROJECT_ROOT / "tests" / "dags"


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_with_each_epoch_once(
    settings: Settings, tmp_path: Path
) -> None:
    settings = settings.model_copy(
        update={
            "default_recipe": str(DAG_TESTS / "tiny.toml"),
            "promotion_policy": DAG_TESTS / "lenient.toml",
        }
    )
    write_demo_drop(tmp_path / "drop", slices_per_patient=2)
    put_drop(settings, tmp_path / "drop", "drop")
    for batch_id in claim_drops(settings):
        ingest_batch(settings, batch_id)
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
        with reading(settings) as session:
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
    with reading(settings) as session:
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
