"""Two machines (two home folders) that share one results store and one S3 store."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from sqlalchemy import text

from tests.factories.s3_server import environment
from tumorml.datasets.snapshots import take_snapshot
from tumorml.labels import LABELS, Task
from tumorml.models.model_versions import fetch_predictor
from tumorml.objects import object_store
from tumorml.results.session import read_session, write_session
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.scans.ingest.put_drop import put_drop
from tumorml.settings import PROJECT_ROOT, Settings
from tumorml.training.plan_run import plan_run
from tumorml.training.train_run import train_run

pytestmark = pytest.mark.slow

TRAIN = (
    "import sys; from tumorml.settings import Settings; from tumorml.training.train_run import "
    "train_run; train_run(Settings(), sys.argv[1])"
)
EPOCHS = 10
DAG_TESTS = PROJECT_ROOT / "tests" / "dags"


@pytest.fixture
def shared(s3_settings: Settings, tmp_path: Path) -> Settings:
    """Settings of machine A, with ingested scans."""
    settings = s3_settings.model_copy(
        update={
            "default_recipe": str(DAG_TESTS / "tiny.toml"),
            "promotion_policy": DAG_TESTS / "lenient.toml",
        }
    )
    write_squares(tmp_path / "drop")
    put_drop(settings, tmp_path / "drop")
    for batch_id in claim_drops(settings):
        ingest_batch(settings, batch_id)
    return settings


def write_squares(folder: Path) -> None:
    """Write scans of clouds with a bright square, whose position depends on the label."""
    random = np.random.default_rng(5)
    for index, label in enumerate(LABELS[Task.FOUR_CLASS]):
        (folder / label).mkdir(parents=True)
        for number in range(30):
            cloud = cv2.GaussianBlur(random.normal(size=(96, 96)), (0, 0), 6)
            pixels = cv2.normalize(cloud, None, 20, 160, cv2.NORM_MINMAX).astype(np.uint8)
            top, left = 16 + 40 * (index // 2), 16 + 40 * (index % 2)
            pixels[top : top + 20, left : left + 20] = 255
            Image.fromarray(pixels).save(folder / label / f"{number}.png")


def plan(settings: Settings, trigger: str) -> str:
    snapshot_id = take_snapshot(settings, Task.FOUR_CLASS)
    planned = plan_run(settings, snapshot_id, task=Task.FOUR_CLASS, trigger=trigger, force=True)
    assert planned.run_id is not None
    return planned.run_id


def begin(settings: Settings, run_id: str, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *(command or ("-c", TRAIN)), run_id],
        env=environment(settings),
        cwd=PROJECT_ROOT,
        stderr=subprocess.PIPE,
    )


def stored_epoch(settings: Settings, run_id: str) -> int:
    keys = [stored.key for stored in object_store(settings).list(f"runs/{run_id}/checkpoint")]
    return max((int(Path(key).stem) for key in keys), default=0)


def wait_for_epoch(
    settings: Settings, run_id: str, epoch: int, process: subprocess.Popen[bytes]
) -> None:
    while stored_epoch(settings, run_id) < epoch:
        assert process.poll() is None
        time.sleep(0.02)


def epochs(settings: Settings, run_id: str) -> dict[int, object]:
    """Return the time at which the row of each epoch was written."""
    with read_session(settings) as session:
        rows = session.execute(
            text("select epoch, created_at from epoch where run_id = :run"), {"run": run_id}
        )
        return {row.epoch: row.created_at for row in rows}


def weights(settings: Settings, model_version_id: str) -> list[np.ndarray]:
    return [np.asarray(w) for w in fetch_predictor(settings, model_version_id).model.weights]


def test_killed_run_resumes_on_another_machine(shared: Settings, tmp_path: Path) -> None:
    run_id = plan(shared, "killed")
    process = begin(shared, run_id)
    wait_for_epoch(shared, run_id, 3, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stored, before = stored_epoch(shared, run_id), epochs(shared, run_id)
    assert 3 <= stored < EPOCHS

    other = shared.model_copy(update={"home": tmp_path / "another-machine"})
    model = train_run(other, run_id)
    after = epochs(shared, run_id)
    assert sorted(after) == list(range(1, EPOCHS + 1))
    assert all(after[epoch] == before[epoch] for epoch in range(1, stored + 1))
    assert stored_epoch(shared, run_id) == 0
    assert list(object_store(shared).list(f"runs/{run_id}/checkpoint")) == []

    uninterrupted = train_run(other, plan(shared, "uninterrupted"))
    for ours, theirs in zip(weights(other, model), weights(other, uninterrupted), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_worker_that_lost_its_lock_changes_nothing(shared: Settings, tmp_path: Path) -> None:
    run_id = plan(shared, "cut off")
    process = begin(shared, run_id)
    wait_for_epoch(shared, run_id, 1, process)
    process.send_signal(signal.SIGSTOP)
    with write_session(shared) as session:  # as Postgres does if a client is silent for too long
        ended = session.execute(
            text(
                "select count(pg_terminate_backend(pid)) from pg_locks where locktype = 'advisory' "
                "and database = (select oid from pg_database where datname = current_database())"
            )
        ).scalar_one()
    assert ended == 1
    train_run(shared.model_copy(update={"home": tmp_path / "another-machine"}), run_id)
    before = epochs(shared, run_id)
    process.send_signal(signal.SIGCONT)
    _, log = process.communicate(timeout=60)
    assert process.returncode != 0
    assert b"Another process may hold the lock now" in log
    assert epochs(shared, run_id) == before
    with read_session(shared) as session:
        state = session.execute(
            text("select state from run where id = :run"), {"run": run_id}
        ).scalar_one()
    assert state == "trained"


def test_second_machine_judges_and_reports_from_the_stores(
    shared: Settings, tmp_path: Path
) -> None:
    other = shared.model_copy(update={"home": tmp_path / "another-machine"})
    run_id = plan(shared, "other machine")
    process = begin(other, run_id, "-m", "tumorml.cli", "resume")
    _, log = process.communicate()
    assert process.returncode == 0, log.decode()
    with read_session(shared) as session:
        verdict = session.execute(text("select outcome from verdict")).scalar_one()
        keys = session.execute(text("select object_key from artifact")).scalars().all()
    assert verdict == "promoted"
    store = object_store(shared)
    assert keys and all(store.exists(key) for key in keys)
    assert not (other.home / "objects").exists()
