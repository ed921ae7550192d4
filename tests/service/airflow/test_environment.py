"""The environment of Airflow's processes, on a real local Postgres."""

from __future__ import annotations

import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tumorml.results.local_postgres import start_local_postgres, stop_local_postgres
from tumorml.service.airflow.environment import airflow_environment, needs_local_postgres
from tumorml.settings import Settings


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    # Postgres's system user needs access; each new pytest session closes pytest's own folder to it.
    with tempfile.TemporaryDirectory(prefix="tumorml-test-") as folder:
        home = Path(folder) / "home"
        start_local_postgres(home)
        yield Settings(home=home, airflow_port=8123, settle_seconds=3)
        stop_local_postgres(home)


def test_keys_are_created_once_with_mode_0600(settings: Settings) -> None:
    first = airflow_environment(settings)
    second = airflow_environment(settings)
    for name in ("CORE__FERNET_KEY", "API_AUTH__JWT_SECRET", "API__SECRET_KEY"):
        assert len(first[f"AIRFLOW__{name}"]) >= 40
        assert first[f"AIRFLOW__{name}"] == second[f"AIRFLOW__{name}"]
    for name in ("secrets.json", "passwords.json"):
        assert stat.S_IMODE((settings.home / "airflow" / name).stat().st_mode) == 0o600


def test_no_keys_are_created_when_all_are_set(tmp_path: Path, monkeypatch) -> None:
    for name in ("CORE__FERNET_KEY", "API_AUTH__JWT_SECRET", "API__SECRET_KEY"):
        monkeypatch.setenv(f"AIRFLOW__{name}", "given")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://else/where")
    environment = airflow_environment(Settings(home=tmp_path))
    assert environment["AIRFLOW__CORE__FERNET_KEY"] == "given"
    assert not list(tmp_path.rglob("*.json"))


def test_airflow_variables_of_the_user_take_precedence(settings: Settings, monkeypatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "3")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY_CMD", "cat /run/fernet")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://else/where")
    environment = airflow_environment(settings)
    assert environment["AIRFLOW__CORE__PARALLELISM"] == "3"
    assert "AIRFLOW__CORE__FERNET_KEY" not in environment
    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == "postgresql://else/where"


def test_child_environment_has_the_parent_settings(settings: Settings) -> None:
    environment = airflow_environment(settings)
    assert environment["TUMORML_HOME"] == str(settings.home)
    assert environment["TUMORML_SETTLE_SECONDS"] == "3.0"
    assert "TUMORML_DATABASE_URL" not in environment


def test_loopback_bypasses_the_proxy(settings, monkeypatch) -> None:
    monkeypatch.setenv("NO_PROXY", "hospital.example")
    assert airflow_environment(settings)["NO_PROXY"] == "hospital.example,127.0.0.1,localhost"


def test_airflow_listens_on_loopback_only(settings: Settings) -> None:
    environment = airflow_environment(settings)
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert environment["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:8123"


def test_local_postgres_is_needed_unless_both_urls_are_set(monkeypatch) -> None:
    outside = Settings(home=Path("x"), database_url="postgresql://a/b")
    assert needs_local_postgres(outside)
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://a/c")
    assert not needs_local_postgres(outside)
    assert needs_local_postgres(Settings(home=Path("x")))


PUBLISH = """
from airflow.providers.celery.executors import celery_executor_utils as celery
class Workload:
    ti = None
    def model_dump_json(self): return "{}"
for _ in range(2):
    *_, result = celery.send_workload_to_executor(("key", Workload(), "default", None))
    print("raised", type(result.exception).__name__)
"""


def test_task_is_resent_while_the_broker_is_down(settings) -> None:
    """Airflow's executor retries to publish a task only after an AirflowTaskTimeout."""
    environment = airflow_environment(settings) | {
        "AIRFLOW__CELERY__BROKER_URL": "redis://:secret@127.0.0.1:1/0",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+sqlite:///{settings.home}/results.db",
    }
    result = subprocess.run(
        [sys.executable, "-c", PUBLISH], env=environment, capture_output=True, text=True, check=True
    )
    raised = [line for line in result.stdout.splitlines() if line.startswith("raised ")]
    assert raised == ["raised AirflowTaskTimeout"] * 2, result.stdout
    assert int(environment["AIRFLOW__CELERY__TASK_PUBLISH_MAX_RETRIES"]) >= 300
