"""The stack as processes: a drop leads to a champion that predicts, with tasks run by Celery."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.cluster.processes import Cluster
from tests.cluster.questions import airflow_rows, ask, results
from tests.factories.champions import noise_scans
from tumorml.demo.drop import write_demo_drop
from tumorml.scans.images.decode import encode_png
from tumorml.service.airflow.api import AirflowApi
from tumorml.settings import PROJECT_ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def wait_for(condition: Callable[[], bool], cluster: Cluster, timeout_seconds: float) -> None:
    """Wait for a condition; fail when a process ends or the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        ended = [name for name in cluster.started() if not cluster.is_running(name)]
        assert set(ended) <= {"airflow-init"}, {name: cluster.log(name) for name in ended}
        assert time.monotonic() < deadline, {name: cluster.log(name) for name in cluster.started()}
        time.sleep(2)


@pytest.fixture(scope="module")
def airflow(cluster: Cluster) -> Iterator[AirflowApi]:
    api = AirflowApi(cluster.address("api-server"), cluster.variables["AIRFLOW_ADMIN_PASSWORD"])
    wait_for(lambda: not api.import_errors() and api.has_dag("retrain_champion"), cluster, 180)
    yield api
    api.close()


@pytest.fixture(scope="module")
def champion(
    cluster: Cluster, airflow: AirflowApi, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The id of the model version that the first retraining on a first drop promotes."""
    folder = tmp_path_factory.mktemp("drop") / "synthetic"
    write_demo_drop(folder, patients_per_label=24, slices_per_patient=2)
    subprocess.run(
        ["tumorml", "drop", folder], env=cluster.environment("worker"), cwd=PROJECT_ROOT, check=True
    )
    taken_in = "select 1 from batch_summary where state = 'ingested' and taken_in = 192"
    wait_for(lambda: bool(results(cluster, taken_in)), cluster, 300)
    wait_for(
        lambda: all(run["state"] == "success" for run in airflow.runs("ingest_scans")), cluster, 120
    )
    airflow.trigger("retrain_champion", "first", {"task": "four_class"})
    wait_for(
        lambda: airflow.run_state("retrain_champion", "first") in ("success", "failed"),
        cluster,
        900,
    )
    tasks = airflow.tasks("retrain_champion", "first")
    assert airflow.run_state("retrain_champion", "first") == "success", tasks
    ((model_version,),) = results(cluster, "select model_version from champion_history")
    return str(model_version)


def test_drop_leads_to_a_champion(cluster: Cluster, champion: str) -> None:
    (run,) = results(cluster, "select state, epochs_done, verdict, model_version from run_summary")
    assert run == ("judged", 10, "promoted", champion)


def test_only_training_ran_on_gpu_workers(cluster: Cluster, champion: str) -> None:
    task_queues = airflow_rows(
        cluster,
        "select task_id, queue from task_instance where state = 'success' and pid is not null",
    )
    queues: dict[str, set[str]] = {}
    for task_id, queue in task_queues:
        queues.setdefault(queue, set()).add(task_id)
    assert queues.keys() == {"default", "gpu"}
    assert queues["gpu"] == {"retrain.train"}
    assert queues["default"] >= {
        "claim_drops",
        "plan_shards",
        "read_shard",
        "finish_batch",
        "fingerprint_scans",
        "assign_groups",
        "retrain.evaluate",
        "retrain.explain",
        "retrain.judge",
        "retrain.promote",
        "retrain.report",
    }


def test_two_training_workers_and_one_default_worker_run(cluster: Cluster) -> None:
    workers = [name for name in cluster.started() if "worker" in name]
    assert workers == ["worker", "worker-cpu-train-1", "worker-cpu-train-2"]
    homes = {cluster.environment(name)["TUMORML_HOME"] for name in workers}
    assert len(homes) == len(workers)


def test_predictions_need_the_api_key(cluster: Cluster, champion: str) -> None:
    files = {"images": ("one.png", encode_png(noise_scans(1)[0]))}
    address = f"{cluster.address('api')}/predict"
    assert httpx.post(address, files=files, trust_env=False).status_code == 401
    key = {"X-API-Key": cluster.variables["PAGE_API_KEY"]}
    response = httpx.post(address, files=files, headers=key, timeout=60, trust_env=False)
    assert (response.status_code, response.json()["model_version"]) == (200, champion)


def test_airflow_pages_need_a_login(cluster: Cluster, champion: str) -> None:
    client = httpx.Client(base_url=cluster.address("api-server"), trust_env=False, timeout=60)
    assert client.get("/tumorml/overview").status_code in (401, 403)
    account = {"username": "admin", "password": cluster.variables["AIRFLOW_ADMIN_PASSWORD"]}
    token = client.post("/auth/token", json=account).json()["access_token"]
    page = client.get("/tumorml/overview", headers={"Authorization": f"Bearer {token}"})
    assert page.status_code == 200 and champion in page.text
    wrong = client.post("/auth/token", json=account | {"password": "admin"})
    assert wrong.status_code == 401


def test_reader_cannot_write_and_writer_owns_no_table(cluster: Cluster, champion: str) -> None:
    for variable, statement in (
        ("TUMORML_READER_DATABASE_URL", "delete from champion"),
        ("TUMORML_DATABASE_URL", "drop table champion"),
    ):
        with pytest.raises(Exception, match=r"read-only|must be owner|permission denied"):
            ask(cluster, "worker", variable, statement)


def test_every_service_passes_its_health_check(cluster: Cluster) -> None:
    for name in cluster.started():
        if name != "airflow-init":
            cluster.wait_until_healthy(name, 120)


def test_second_prepare_changes_nothing(cluster: Cluster, champion: str) -> None:
    before = results(cluster, "select model_version, since from champion_history")
    cluster.kill("airflow-init")
    cluster.start("airflow-init")
    cluster.wait_until_done("airflow-init")
    assert results(cluster, "select model_version, since from champion_history") == before


def test_killed_worker_restarts_with_the_same_name(cluster: Cluster) -> None:
    cluster.kill("worker-cpu-train-1")
    assert not cluster.is_healthy("worker-cpu-train-1")
    cluster.start("worker-cpu-train-1")
    cluster.wait_until_healthy("worker-cpu-train-1", 120)


def test_logs_contain_no_secret(cluster: Cluster) -> None:
    logs = Path(cluster.folder / "logs")
    for name in ("POSTGRES_PASSWORD", "READER_PASSWORD", "AIRFLOW_ADMIN_PASSWORD", "S3_SECRET_KEY"):
        secret = cluster.variables[name].encode()
        logs_with_secret = [path.name for path in logs.iterdir() if secret in path.read_bytes()]
        assert logs_with_secret == [], name
