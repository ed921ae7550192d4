"""What dies during a retraining: the worker that trains, the broker, the store, Postgres."""

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
"""More than fit into the time that the broker is away."""
OUTAGE_SECONDS = 30.0
TRAIN = "task_id = 'retrain.train'"


@dataclass
class Stack:
    """A stack that has taken in a first drop."""

    cluster: Cluster
    restarting: Restarting
    airflow: AirflowApi

    def trigger(self, name: str, epochs: int) -> None:
        conf = {"task": "four_class", "epochs": epochs, "force": True}
        self.airflow.trigger("retrain_champion", name, conf)

    def run(self, trigger: str) -> str:
        """The id of the run that a DAG run has led to."""
        found: list[Any] = []

        def planned() -> bool:
            found[:] = self.ask(f"select id from run where trigger = '{trigger}'")
            return bool(found)

        wait_until(planned, self.cluster, 300, "the run is planned")
        return str(found[0][0])

    def ask(self, query: str) -> list[Any]:
        """Rows of the results store; none while it is away."""
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
    taken_after = time.monotonic() - killed_at
    stack.wait_for_epoch(run, len(before) + 1)
    went_on_after = time.monotonic() - killed_at
    print(
        f"killed at epoch {len(before)}; taken after {taken_after:.0f} s, "
        f"the next epoch after {went_on_after:.0f} s"
    )
    stack.wait_for_the_end("killed-worker")
    after = stack.epochs(run)
    assert_every_epoch_once(stack, run, 60)
    # The last row's checkpoint may not have reached the store: that epoch alone is done again.
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
    for turn, part in enumerate(("broker", "store", "postgres")):
        stack.wait_for_epoch(run, len(stack.epochs(run)) + 3)
        some = files[12 * turn : 12 * turn + 12]
        dropped.update(drop(s3_client(stack.cluster), f"before-{part}-died", some))
        done = len(stack.epochs(run))
        assert done < EPOCHS, "the training is over before all have been away"
        stack.restarting.down(part)
        time.sleep(OUTAGE_SECONDS)
        stack.restarting.up(part)
        back_at = time.monotonic()
        stack.cluster.wait_until_healthy(part, 120)
        stack.wait_for_epoch(run, len(stack.epochs(run)) + 1)
        print(
            f"{part} died at epoch {done}, was back after {OUTAGE_SECONDS:.0f} s, and the next "
            f"epoch was done {time.monotonic() - back_at:.0f} s later; started again: "
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
    """The two training workers, the one that trains the run first."""
    return sorted(
        cluster.names("worker-cpu-train"), key=lambda name: not trains(cluster, name, run)
    )


def trains(cluster: Cluster, worker: str, run: str) -> bool:
    """Whether the run's own folder is in the worker's home, which it leaves when it is trained."""
    return (Path(cluster.environment(worker)["TUMORML_HOME"]) / "runs" / run).exists()


def assert_every_epoch_once(stack: Stack, run: str, epochs: int) -> None:
    """In their order: a second trainer at the same time would have written over the first's."""
    rows = stack.epochs(run)
    assert [epoch for epoch, _ in rows] == list(range(1, epochs + 1))
    written = [at for _, at in rows]
    assert written == sorted(written)


def assert_one_of_everything(stack: Stack, run: str) -> None:
    """One model version, verdict, and champion; one prediction for each model and scan."""
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
    """How often Airflow tried the training."""
    ((number,),) = airflow_rows(
        cluster,
        f"select try_number from task_instance where run_id = '{trigger}' and {TRAIN}",
    )
    return int(number)


def task_logs(cluster: Cluster, trigger: str) -> str:
    """All that the tasks of a DAG run have logged."""
    logs = cluster.folder / "volumes" / "logs"
    return "".join(path.read_text() for path in logs.glob(f"**/run_id={trigger}/**/*.log"))
