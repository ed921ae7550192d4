"""A real Airflow on a real Postgres, migrated once for all DAG tests."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tumorml.results.local_postgres import start_local_postgres, stop_local_postgres
from tumorml.results.migrate import migrate
from tumorml.service.airflow.environment import airflow_environment
from tumorml.service.local.databases import create_databases
from tumorml.settings import PROJECT_ROOT, Settings

RUNNER = Path(__file__).with_name("run_dag.py")


@dataclass(frozen=True)
class Airflow:
    """An Airflow without scheduler: DAGs run in it by ``dag.test()``."""

    settings: Settings
    environment: dict[str, str]

    def run(self, dag_id: str, run_id: str, **conf: Any) -> dict[str, str]:
        """Run a DAG to its end; the state of each task instance, by ``task_id[map_index]``."""
        result = self.python(str(RUNNER), dag_id, run_id, json.dumps(conf))
        states: dict[str, str] = json.loads(result.stdout.splitlines()[-1])
        if states["run"] != "success":
            print(result.stdout[-8000:], result.stderr[-8000:])
        return states

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python in this Airflow's environment."""
        result = subprocess.run(
            [sys.executable, *arguments],
            env=self.environment,
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert result.returncode == 0, f"{result.stdout[-6000:]}\n{result.stderr[-6000:]}"
        return result


@pytest.fixture(scope="session")
def airflow() -> Iterator[Airflow]:
    settings = Settings(
        home=Path(tempfile.mkdtemp(prefix="tumorml-airflow-")),
        settle_seconds=0,
        default_recipe=str(Path(__file__).with_name("tiny.toml")),
        promotion_policy=Path(__file__).with_name("lenient.toml"),
    )
    start_local_postgres(settings.home)
    create_databases(settings)
    migrate(settings)
    airflow = Airflow(settings, airflow_environment(settings))
    airflow.python("-m", "airflow", "db", "migrate")
    yield airflow
    stop_local_postgres(settings.home)
    shutil.rmtree(settings.home)
