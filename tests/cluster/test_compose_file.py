"""docker-compose.yml: valid, with pinned images, few published ports and existing commands."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main

from tests.cluster.compose_file import (
    COMPOSE_FILE,
    UnsetVariableError,
    parse,
    resolve,
)
from tests.cluster.processes import LISTENING
from tumorml import __version__
from tumorml.cli import app
from tumorml.service.cluster.env_file import draw_variables
from tumorml.settings import PROJECT_ROOT

PUBLISHED = {"api-server": 8080, "api": 8081, "ui": 8082}
ONE_SHOT = {"airflow-init"}


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    return resolve(draw_variables(gpu=False))


@pytest.fixture(scope="module")
def services(stack: dict[str, Any]) -> dict[str, Any]:
    services: dict[str, Any] = stack["services"]
    return services


def test_file_matches_the_compose_schema(stack: dict[str, Any]) -> None:
    vendored = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(vendored.read_text())
    jsonschema.validate(parse(), schema)
    jsonschema.validate(stack, schema)


def test_docker_compose_resolves_the_file_like_the_tests(
    services: dict[str, Any], tmp_path: Path
) -> None:
    """Skipped unless Docker Compose is installed; a Docker engine is not needed."""
    standalone = shutil.which("docker-compose")
    plugin = (
        shutil.which("docker")
        and not subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    )
    if not standalone and not plugin:
        pytest.skip("neither docker-compose nor docker compose is installed")
    variables = draw_variables(gpu=False) | {"COMPOSE_PROFILES": "cpu,gpu"}
    (tmp_path / ".env").write_text("".join(f"{k}={v}\n" for k, v in variables.items()))
    command = [standalone] if standalone else ["docker", "compose"]
    config = subprocess.run(
        [*command, "--env-file", tmp_path / ".env", "-f", COMPOSE_FILE, "config", "--format=json"],
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(config.stdout.replace("$$", "$"))["services"]
    ours = resolve(variables)["services"]
    assert theirs.keys() == ours.keys()
    for name, service in ours.items():
        assert theirs[name].get("environment", {}) == service.get("environment", {}), name
        assert theirs[name]["command"] == service.get("command"), name
        assert theirs[name]["image"] == service["image"], name
        assert theirs[name].get("healthcheck", {}).get("test") == service.get(
            "healthcheck", {}
        ).get("test"), name


def test_missing_secret_error_names_init_env() -> None:
    for missing in draw_variables(gpu=False).keys() - {"COMPOSE_PROFILES"}:
        variables = draw_variables(gpu=False) | {missing: ""}
        with pytest.raises(UnsetVariableError, match=f"{missing}: run `tumorml init-env`"):
            resolve(variables)


def test_no_secret_has_a_default() -> None:
    text = COMPOSE_FILE.read_text()
    for name, operator in re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|KEY)\w*)(:?.)", text):
        assert operator == ":?", name


def test_every_image_is_pinned(services: dict[str, Any]) -> None:
    for name, service in services.items():
        repository, _, tag = service["image"].rpartition(":")
        assert repository and re.search(r"\d+\.\d+", tag), name


def test_only_airflow_api_and_ui_are_published_on_loopback(
    services: dict[str, Any],
) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {name: [f"127.0.0.1:{port}:{port}"] for name, port in PUBLISHED.items()}
    assert not any("network_mode" in service for service in services.values())


def test_services_have_health_checks_and_restart_policies(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["logging"]["options"]["max-size"], name
        if name not in ONE_SHOT:
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name


def test_alpine_health_checks_use_busybox_options(services: dict[str, Any]) -> None:
    """BusyBox's wget has few of GNU wget's long options; the process tests run GNU wget."""
    for name, service in services.items():
        check = " ".join(service.get("healthcheck", {}).get("test", ()))
        if "wget" in check or "curl" in check:
            assert " --" not in check, name


def test_healthy_conditions_refer_to_services_with_checks(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for dependency, options in service.get("depends_on", {}).items():
            waits_for_end = options["condition"] == "service_completed_successfully"
            assert waits_for_end == (dependency in ONE_SHOT), (name, dependency)


def test_volumes_are_named_and_declared(stack: dict[str, Any]) -> None:
    mounted = {
        volume.partition(":")[0]
        for service in stack["services"].values()
        for volume in service.get("volumes", ())
    }
    assert mounted - {"./promotion.toml"} == stack["volumes"].keys()


def test_addresses_match_the_listening_ports(services: dict[str, Any]) -> None:
    addresses = re.findall(r"[/@]([a-z][a-z-]*):(\d+)(?=[/'])", str(services))
    assert {(name, int(port)) for name, port in addresses} <= LISTENING.items()
    assert PUBLISHED.items() <= LISTENING.items()


def test_only_airflow_init_has_the_superuser_password(services: dict[str, Any]) -> None:
    superusers = {
        name for name, service in services.items() if "psycopg2://postgres:" in str(service)
    }
    assert superusers == ONE_SHOT


@pytest.mark.parametrize("name", ["first-host", "gpu-host"])
def test_host_overrides_publish_on_the_private_address_only(
    services: dict[str, Any], name: str
) -> None:
    hosts = {"PRIVATE_ADDRESS": "10.0.0.1", "WORKER_ADDRESS": "10.0.0.2"}
    override = resolve(draw_variables(gpu=True) | hosts, PROJECT_ROOT / "docker" / f"{name}.yml")
    assert override["services"].keys() <= services.keys()
    for service, definition in override["services"].items():
        for port in definition.get("ports", ()):
            address, published, container_port = port.split(":")
            assert address in hosts.values() and published == container_port
            assert int(container_port) == LISTENING.get(service, 8793)


def test_gpu_host_worker_takes_trainings_and_serves_logs(
    services: dict[str, Any],
) -> None:
    hosts = {"PRIVATE_ADDRESS": "10.0.0.1", "WORKER_ADDRESS": "10.0.0.2"}
    override = resolve(hosts, PROJECT_ROOT / "docker" / "gpu-host.yml")["services"]["worker-gpu"]
    default, overridden = _words(services["worker-gpu"]["command"]), _words(override["command"])
    assert [word for word in default if word not in overridden] == ["--skip-serve-logs"]
    extra_hosts = {host.partition(":")[0] for host in override["extra_hosts"]}
    contacted = set(re.findall(r"[/@]([a-z-]+):\d+(?=[/'])", str(services["worker-gpu"])))
    assert extra_hosts == contacted


def commands(services: dict[str, Any]) -> dict[str, list[str]]:
    """Return the commands and health checks of the services that run our images, by name."""
    found: dict[str, list[str]] = {}
    for name, service in services.items():
        if service["image"].startswith("tumorml-"):
            found[name] = _words(service["command"])
            if "healthcheck" in service:
                found[f"{name}, health check"] = _words(service["healthcheck"]["test"])
    return found


def _words(command: list[str]) -> list[str]:
    if command[:2] == ["sh", "-c"]:
        return shlex.split(command[2].removeprefix("exec "))
    if command[0] == "CMD-SHELL":
        return shlex.split(command[1])
    return command[1:] if command[0] == "CMD" else command


def test_every_command_parses(services: dict[str, Any]) -> None:
    from airflow.cli.cli_parser import get_parser

    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, (program, *words) in commands(services).items():
        assert program in ("tumorml", "celery", "python"), name
        if program == "tumorml":
            assert words[0] in verbs, name
            if words[0] == "airflow":
                get_parser().parse_args(words[1:])


def test_only_training_uses_the_gpu_queue(services: dict[str, Any]) -> None:
    queues = {
        name: words[words.index("--queues") + 1]
        for name, words in commands(services).items()
        if "--queues" in words
    }
    assert queues == {"worker": "default", "worker-cpu-train": "gpu", "worker-gpu": "gpu"}
    in_dags = re.findall(
        r"queue=\"(\w+)\".*\n\s+def (\w+)",
        "".join(path.read_text() for path in (PROJECT_ROOT / "dags").glob("*.py")),
    )
    assert in_dags == [("gpu", "train")]


def test_only_the_cuda_worker_reserves_a_gpu(services: dict[str, Any]) -> None:
    reserving = {
        name: service["build"]["target"]
        for name, service in services.items()
        if "deploy" in service
    }
    assert reserving == {"worker-gpu": "worker-gpu"}
    (device,) = services["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


def test_default_image_tag_is_the_package_version(services: dict[str, Any]) -> None:
    tags = {
        service["image"].rpartition(":")[2]
        for service in services.values()
        if service["image"].startswith("tumorml-")
    }
    assert tags == {__version__}
