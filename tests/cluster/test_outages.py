"""Retraining while the training worker, the broker, the store or Postgres is killed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from tests.cluster.drops import demo_files, drop, labeled_files, s3_client
from tests.cluster.processes import TINY_SETTINGS, Cluster, running_cluster
from tests.cluster.questions import airflow_rows, results, wait_until
from tests.cluster.restarting import Restarting
from tumorml.service.airflow.api import AirflowApi

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SCANS = 192
EPOCHS = 400
"""More epochs than a training can do during an outage of the broker."""
OUTAGE_SECONDS = 30.0
TRAIN = "task_id = 'retrain.train'"


@dataclass
class Stack:
    """A running stack that has ingested a first drop."""

    cluster: Cluster
    restarting: Restarting
    airflow: AirflowApi

    def trigger(self, name: str, epochs: int) -> None:
        conf = {"task": "four_class", "epochs": epochs, "force": True}
        self.airflow.trigger("retrain_champion", name, conf)

    def run(self, trigger: str) -> str:
        """Wait for the run that a DAG run plans; return its id."""
        found: list[Any] = []

        def planned() -> bool:
            found[:] = self.ask(f"select id from run where trigger = '{trigger}'")
            return bool(found)

        wait_until(planned, self.cluster, 300, "the run is planned")
        return str(found[0][0])

    def ask(self, query: str) -> list[Any]:
        """Return rows of the results store; an empty list while Postgres is down."""
        try:
            return results(self.cluster, query)
        except OperationalError:
            return []

    def epochs(self, run: str) -> list[Any]:
        return self.ask(f"select epoch, created_at from epoch where run_id = '{run}' order by 1")

    def wait_for_epoch(self, run: str, epoch: int) -> None:
        wait_until(
            lambda: len(self.epochs(run)) >= epoch, self.cluster, 600, f"{run} has epoch {epoch}"
        )

    def wait_for_the_end(self, trigger: str) -> None:
        wait_until(lambda: self._ended(trigger), self.cluster, 1200, f"{trigger} ends")
        state = self.airflow.run_state("retrain_champion", trigger)
        assert state == "success", self.airflow.tasks("retrain_champion", trigger)

    def _ended(self, trigger: str) -> bool:
        try:
            return self.airflow.run_state("retrain_champion", trigger) in ("success", "failed")
        except httpx.HTTPError:
            return False


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_cluster(TINY_SETTINGS, {"worker-cpu-train": 2}) as cluster:
        api = AirflowApi(cluster.address("api-server"), cluster.variables["AIRFLOW_ADMIN_PASSWORD"])
        files = demo_files(tmp_path_factory.mktemp("drop"), patients_per_label=SCANS // 8)
        drop(s3_client(cluster), "first", files)
        with Restarting(cluster) as restarting:
            stack = Stack(cluster, restarting, api)
            wait_until(
                lambda: stack.ask(f"select 1 from batch_summary where taken_in = {SCANS}"),
                cluster,
                600,
                "the first drop is taken in",
            )
            wait_until(
                lambda: all(run["state"] == "success" for run in api.runs("ingest_scans")),
                cluster,
                300,
                "its scans have groups",
            )
            yield stack
        api.close()


def test_another_worker_continues_a_killed_training(stack: Stack) -> None:
    stack.trigger("killed-worker", epochs=60)
    run = stack.run("killed-worker")
    stack.wait_for_epoch(run, 5)
    killed, other = trainer_first(stack.cluster, run)
    stack.restarting.down(killed)
    before, killed_at = stack.epochs(run), time.monotonic()
    assert 5 <= len(before) < 60

    wait_until(lambda: trains(stack.cluster, other, run), stack.cluster, 300, f"{other} trains")
    takeover_seconds = time.monotonic() - killed_at
    stack.wait_for_epoch(run, len(before) + 1)
    next_epoch_seconds = time.monotonic() - killed_at
    print(
        f"killed at epoch {len(before)}; another worker took over after {takeover_seconds:.0f} s, "
        f"the next epoch was done after {next_epoch_seconds:.0f} s"
    )
    stack.wait_for_the_end("killed-worker")
    after = stack.epochs(run)
    assert_every_epoch_once(stack, run, 60)
    # The last epoch is repeated if its checkpoint was not uploaded before the worker was killed.
    assert after[: len(before) - 1] == before[:-1]
    assert "downloaded the checkpoint of epoch" in task_logs(stack.cluster, "killed-worker")
    assert tries(stack.cluster, "killed-worker") == 2
    assert_one_of_everything(stack, run)
    rules = stack.ask("select rule, slice, result from verdict_rule order by position")
    serving = stack.ask(
        "select run_id from model_version join champion_history on id = model_version"
    )
    assert serving == [(run,)], rules

    stack.restarting.up(killed)
    stack.cluster.wait_until_healthy(killed, 180)


def test_run_completes_after_broker_store_and_postgres_outages(
    stack: Stack, tmp_path: Path
) -> None:
    files = labeled_files(tmp_path, 36, seed=8)
    dropped: Counter[tuple[str, str]] = Counter()
    stack.trigger("outages", epochs=EPOCHS)
    run = stack.run("outages")
    for turn, service in enumerate(("broker", "store", "postgres")):
        stack.wait_for_epoch(run, len(stack.epochs(run)) + 3)
        some = files[12 * turn : 12 * turn + 12]
        dropped.update(drop(s3_client(stack.cluster), f"before-{service}-died", some))
        done = len(stack.epochs(run))
        assert done < EPOCHS, "the training ended before all outages"
        stack.restarting.down(service)
        time.sleep(OUTAGE_SECONDS)
        stack.restarting.up(service)
        restarted_at = time.monotonic()
        stack.cluster.wait_until_healthy(service, 120)
        stack.wait_for_epoch(run, len(stack.epochs(run)) + 1)
        print(
            f"{service} was killed at epoch {done} and restarted after {OUTAGE_SECONDS:.0f} s; the "
            f"next epoch was done {time.monotonic() - restarted_at:.0f} s later; restarts: "
            f"{dict(stack.restarting.restarts)}"
        )
    stack.wait_for_the_end("outages")
    assert_every_epoch_once(stack, run, EPOCHS)
    assert_one_of_everything(stack, run)

    taken_in = "select drop_name, path from batch_file join batch on batch.id = batch_id"
    waiting = "select 1 from batch where finished_at is null"
    wait_until(
        lambda: len(stack.ask("select 1 from batch")) == 4 and not stack.ask(waiting),
        stack.cluster,
        600,
        "all drops are taken in",
    )
    found = Counter((name, path) for name, path in stack.ask(taken_in) if name != "first")
    assert found == dropped
    assert len(stack.ask("select id from scan")) == SCANS + 36
    for name in stack.cluster.started():
        if name != "airflow-init":
            stack.cluster.wait_until_healthy(name, 240)


def trainer_first(cluster: Cluster, run: str) -> list[str]:
    """Return the two training workers; the one that trains the run is first."""
    return sorted(
        cluster.names("worker-cpu-train"), key=lambda name: not trains(cluster, name, run)
    )


def trains(cluster: Cluster, worker: str, run: str) -> bool:
    """Return whether the run's folder is in the worker's home; the end of training deletes it."""
    return (Path(cluster.environment(worker)["TUMORML_HOME"]) / "runs" / run).exists()


def assert_every_epoch_once(stack: Stack, run: str, epochs: int) -> None:
    """Assert one row per epoch, in order of time; two concurrent trainings would break it."""
    rows = stack.epochs(run)
    assert [epoch for epoch, _ in rows] == list(range(1, epochs + 1))
    times = [created_at for _, created_at in rows]
    assert times == sorted(times)


def assert_one_of_everything(stack: Stack, run: str) -> None:
    """Assert one model version, verdict and champion, and one prediction per model and scan."""
    ((model,),) = stack.ask(f"select id from model_version where run_id = '{run}'")
    ((outcome,),) = stack.ask(f"select outcome from verdict where run_id = '{run}'")
    serving = stack.ask(f"select 1 from champion where model_version_id = '{model}'")
    assert len(serving) == (1 if outcome == "promoted" else 0)
    predicted = stack.ask(
        "select model_version_id, scan_id, count(*) from prediction "
        f"where run_id = '{run}' group by 1, 2"
    )
    assert {count for *_, count in predicted} == {1}
    tested = stack.ask(
        "select count(*) from snapshot_scan join run using (snapshot_id) "
        f"where run.id = '{run}' and split = 'test'"
    )
    by_model = Counter(model for model, *_ in predicted)
    assert by_model[model] >= tested[0][0]


def tries(cluster: Cluster, trigger: str) -> int:
    """Return the number of tries of the training task."""
    ((number,),) = airflow_rows(
        cluster,
        f"select try_number from task_instance where run_id = '{trigger}' and {TRAIN}",
    )
    return int(number)


def task_logs(cluster: Cluster, trigger: str) -> str:
    """Return the logs of all tasks of a DAG run."""
    logs = cluster.folder / "volumes" / "logs"
    return "".join(path.read_text() for path in logs.glob(f"**/run_id={trigger}/**/*.log"))
