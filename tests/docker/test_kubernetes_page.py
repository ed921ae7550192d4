"""docs/how-to/kubernetes.md: values compared with the compose file, and the hook run on a pod."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from tests.cluster.compose_file import resolve
from tests.docker.image_packages import LOCK, TARGETS, pinned
from tumorml import __version__
from tumorml.service.airflow.environment import airflow_home
from tumorml.service.cluster.env_file import draw_variables
from tumorml.settings import PROJECT_ROOT, Settings

PAGE = (PROJECT_ROOT / "docs" / "how-to" / "kubernetes.md").read_text()
HOOK: str = re.findall(r"```python\n(def .*?)```", PAGE, re.S)[0]
DOCKERFILE = (PROJECT_ROOT / "docker" / "Dockerfile").read_text()

# Section of the values for each service of the compose file.
PARTS = {
    "airflow-init": "migrateDatabaseJob",
    "api-server": "apiServer",
    "scheduler": "scheduler",
    "dag-processor": "dagProcessor",
    "triggerer": "triggerer",
    "worker": "workers",
    "worker-gpu": "workers",
}
# Variables that the chart sets from secrets: the value that names a secret, and its key.
SET_BY_CHART = {
    "AIRFLOW__CORE__FERNET_KEY": ("fernetKeySecretName", "fernet-key"),
    "AIRFLOW__API_AUTH__JWT_SECRET": ("jwtSecretName", "jwt-secret"),
    "AIRFLOW__API__SECRET_KEY": ("apiSecretKeySecretName", "api-secret-key"),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": ("metadataSecretName", "connection"),
}


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    parsed: dict[str, Any] = yaml.safe_load(block)
    return parsed


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    composed: dict[str, Any] = resolve(draw_variables(gpu=True))["services"]
    return composed


@pytest.fixture(scope="module")
def secrets() -> dict[str, set[str]]:
    """The keys of each secret that the page's commands create."""
    created = re.findall(r"create secret generic (\S+)((?:[^\n]*\\\n)*[^\n]*)", PAGE)
    return {name: set(re.findall(r"--from-literal=([\w-]+)=", rest)) for name, rest in created}


def environment_of(
    values: dict[str, Any], secrets: dict[str, set[str]], part: str
) -> dict[str, Any]:
    """Return the variables of a section's process; None for values that come from a secret."""
    shared = re.findall(r"secretRef: \{name: ([\w-]+)\}", values["extraEnvFrom"])
    variables: dict[str, Any] = {key: None for name in shared for key in secrets[name]}
    variables |= dict.fromkeys(SET_BY_CHART)
    for variable in [*values["env"], *values[part].get("env", [])]:
        variables[variable["name"]] = variable.get("value")
    return variables


def test_process_environments_match_the_compose_file(values, services, secrets) -> None:
    for service, part in PARTS.items():
        expected = services[service]["environment"].keys()
        missing = {
            name
            for name in expected - environment_of(values, secrets, part).keys()
            if not name.startswith("AIRFLOW__CELERY")  # KubernetesExecutor does not use Celery
        }
        assert not missing, service


def test_processes_get_their_own_secrets_only(values, services, secrets) -> None:
    for service, part in PARTS.items():
        variables = environment_of(values, secrets, part)
        surplus = variables.keys() - services[service]["environment"].keys()
        # All processes get the variables of the store and of the results store's reader.
        surplus -= secrets["tumorml"] | {variable["name"] for variable in values["env"]}
        assert not surplus, service


def test_shared_values_match_the_compose_file(values, services, secrets) -> None:
    different = {
        "AIRFLOW__CORE__EXECUTOR": "KubernetesExecutor",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://airflow-api-server:8080/execution/",
        "NO_PROXY": "airflow-api-server,postgres,store",
    }
    for service, part in PARTS.items():
        for name, value in environment_of(values, secrets, part).items():
            if value is not None and name in services[service]["environment"]:
                expected = different.get(name, services[service]["environment"][name])
                assert value == expected, (service, name)


def test_values_refer_to_existing_secrets_and_keys(values, secrets) -> None:
    secret_names = values | values["data"]
    for value_name, key in SET_BY_CHART.values():
        assert secrets[secret_names[value_name]] == {key}
    for part in ("workers", "migrateDatabaseJob"):
        for variable in values[part]["env"]:
            reference = variable["valueFrom"]["secretKeyRef"]
            assert reference["key"] in secrets[reference["name"]]
            assert reference["key"] == variable["name"]


def test_api_server_host_contains_the_release_name(values) -> None:
    (release,) = re.findall(r"helm upgrade --install (\S+) apache-airflow/airflow", PAGE)
    environment = {variable["name"]: variable.get("value") for variable in values["env"]}
    url = environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
    assert url == f"http://{release}-api-server:8080/execution/"
    assert f"{release}-api-server" in environment["NO_PROXY"].split(",")
    assert not release.startswith("tumorml")  # its Services would set TUMORML_* in all pods


def test_commands_and_checks_match_the_compose_file(values, services) -> None:
    for service, part in PARTS.items():
        if part == "workers":
            continue
        assert values[part]["args"] == services[service]["command"], service
        for probe in ("livenessProbe", "startupProbe"):
            if "command" in values[part].get(probe, {}):
                check = services[service]["healthcheck"]["test"]
                assert ["CMD", *values[part][probe]["command"]] == check
    # The chart's other commands need files that only Airflow's own images have.
    for part in ("scheduler", "dagProcessor", "triggerer"):
        assert values[part]["livenessProbe"]["command"][0] == "tumorml"
        assert values[part]["logGroomerSidecar"] == {"enabled": False}
    assert values["scheduler"]["startupProbe"]["command"][0] == "tumorml"
    for unused in ("createUserJob", "postgresql", "pgbouncer", "redis", "statsd"):
        assert values[unused] == {"enabled": False}


def test_images_match_the_dockerfile_and_the_lock(values) -> None:
    images = values["images"]
    assert images["airflow"]["repository"].endswith("/tumorml-control-plane")
    assert images["pod_template"]["repository"].endswith("/tumorml-worker")
    assert {image["tag"] for image in images.values()} == {__version__}
    assert {f"tumorml-{target}" for target in TARGETS} <= set(re.findall(r"tumorml-[\w-]+", PAGE))
    assert values["airflowVersion"] == pinned(LOCK)["apache-airflow"]
    user = re.findall(r"^USER (\d+)", DOCKERFILE, re.M)
    assert [str(values["uid"])] == [str(values["gid"])] == user
    (home,) = re.findall(r"TUMORML_HOME=(\S+)", DOCKERFILE)
    assert values["airflowHome"] == str(airflow_home(Settings(home=Path(home))))
    (project,) = {*re.findall(r"^WORKDIR (\S+)", DOCKERFILE, re.M)}
    assert values["dags"] == {"mountPath": f"{project}/dags"}


def test_pods_use_the_pod_template_image(values) -> None:
    """By default the chart sets the control plane's image in airflow.cfg, for all pods."""
    configured = values["config"]["kubernetes_executor"]
    assert configured == {"worker_container_repository": "", "worker_container_tag": ""}


def test_serving_deployments_match_the_compose_file(services, secrets) -> None:
    part = PAGE[PAGE.index("## The API and the web UI") :]
    assert "the secrets `tumorml` and `tumorml-writer`" in part
    described = {*re.findall(r"[A-Z][A-Z0-9_]+", part)}
    described |= secrets["tumorml"] | secrets["tumorml-writer"]
    for service in ("api", "ui"):
        assert services[service]["environment"].keys() <= described
        (path,) = re.findall(r"http://127\.0\.0\.1:\d+(/[\w/]+)", str(services[service]))
        assert path in part


POD = """
import json, sys
import airflow.settings
from airflow.configuration import conf
print("pod", json.dumps({
    "arguments": sys.argv[1:],
    "hook": sys.modules["airflow_local_settings"].__file__,
    "namespace": conf.get("kubernetes_executor", "namespace"),
    "executor": conf.get("core", "executor"),
    "api": conf.get("core", "execution_api_server_url"),
    "dags": conf.get("core", "dags_folder"),
    "logs": conf.get("logging", "base_log_folder"),
    "failed heartbeats": conf.getint("workers", "max_failed_heartbeats"),
}))
"""


def test_pod_has_airflow_environment_and_chart_mounts(values, secrets, tmp_path: Path) -> None:
    """Run `tumorml in-airflow python ...` like a pod, with the environment of the values."""
    home = tmp_path / "airflow"
    (home / "config").mkdir(parents=True)
    (home / "airflow.cfg").write_text("[kubernetes_executor]\nnamespace = seen\n")
    (home / "config" / "airflow_local_settings.py").write_text(HOOK)
    variables = {
        name: "given" if value is None else value
        for name, value in environment_of(values, secrets, "workers").items()
    }
    variables |= {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://a:secret@nowhere/b"}
    variables |= {"TUMORML_HOME": str(tmp_path), "AIRFLOW_HOME": str(home)}
    assert values["workers"]["kubernetes"] == {"command": ["tumorml", "in-airflow"]}
    command = [sys.executable, "-m", "tumorml.cli", "in-airflow"]
    arguments = [sys.executable, "-c", POD, "--json-string", '{"ti": {}}', "--help"]
    clean = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    result = subprocess.run(
        [*command, *arguments],
        env=clean | variables,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("pod ")]
    assert json.loads(line.removeprefix("pod ")) == {
        "arguments": arguments[3:],
        "hook": str(home / "config" / "airflow_local_settings.py"),
        "namespace": "seen",
        "executor": "KubernetesExecutor",
        "api": "http://airflow-api-server:8080/execution/",
        "dags": str(PROJECT_ROOT / "dags"),
        "logs": str(home / "logs"),
        "failed heartbeats": 12,
    }


def test_in_airflow_without_command_prints_one_line() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tumorml.cli", "in-airflow"], capture_output=True, text=True
    )
    assert (result.returncode, "Name a command to run" in result.stderr) == (1, True)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The page's hook; if `kubernetes` is not installed, a FAKE stands in for its models."""
    if importlib.util.find_spec("kubernetes") is None:
        client: Any = ModuleType("kubernetes.client")
        client.models = SimpleNamespace(
            V1ResourceRequirements=SimpleNamespace, V1Toleration=SimpleNamespace
        )
        monkeypatch.setitem(sys.modules, "kubernetes", ModuleType("kubernetes"))
        monkeypatch.setitem(sys.modules, "kubernetes.client", client)
    namespace: dict[str, Any] = {}
    exec(HOOK, namespace)
    return namespace["pod_mutation_hook"]


def pod(task_id: str) -> Any:
    resources = SimpleNamespace(requests={"memory": "2Gi"}, limits=None)
    container = SimpleNamespace(name="base", image="here/tumorml-worker:0.1.0", resources=resources)
    return SimpleNamespace(
        metadata=SimpleNamespace(annotations={"task_id": task_id}),
        spec=SimpleNamespace(containers=[container], tolerations=None),
    )


def test_training_pod_gets_a_gpu(hook: Any) -> None:
    training = pod("retrain.train")
    hook(training)
    (container,) = training.spec.containers
    assert container.image == "here/tumorml-worker-gpu:0.1.0"
    assert container.resources.limits == {"nvidia.com/gpu": "1"}
    assert container.resources.requests == {"memory": "2Gi"}
    assert training.spec.tolerations[0].key == "nvidia.com/gpu"


def test_other_pods_get_no_gpu(hook: Any) -> None:
    evaluation = pod("retrain.evaluate")
    hook(evaluation)
    assert evaluation == pod("retrain.evaluate")


def test_hook_names_the_training_task_of_the_dag() -> None:
    dag = (PROJECT_ROOT / "dags" / "retrain_champion.py").read_text()
    assert re.search(r'queue="gpu".*\n\s+def train\(', dag) and "def retrain(" in dag
