"""A real Airflow, without scheduler, on databases of the Postgres that all tests share.

Migrating Airflow's database and training a first champion take long, so each is done once in a test
run, under a lock. Every test module then gets a copy of the databases and of the home.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.factories.postgres import TEMPLATE, new_database, run_as_owner
from tumorml.demo.drop import write_demo_drop
from tumorml.results.local_postgres import OWNER, READER, WRITER, database_url
from tumorml.results.session import read_session
from tumorml.scans.ingest.put_drop import put_drop
from tumorml.service.airflow.environment import DATABASE_VARIABLE, airflow_environment
from tumorml.settings import PROJECT_ROOT, Settings

DAG_TESTS = PROJECT_ROOT / "tests" / "dags"
AIRFLOW_TEMPLATE = "airflow_template"
CHAMPION_RESULTS, CHAMPION_AIRFLOW = "champion_results_template", "champion_airflow_template"


@dataclass(frozen=True)
class Airflow:
    """An Airflow in which DAGs run by ``dag.test()``, with its results store."""

    settings: Settings
    environment: dict[str, str]

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL of Airflow's own database."""
        return self.environment[DATABASE_VARIABLE]

    def run(self, dag_id: str, run_id: str, **conf: Any) -> dict[str, str]:
        """Run a DAG to its end and return the state of each ``task_id[map_index]`` and of ``run``.

        The output of a run that did not succeed is printed.
        """
        result = self.python(str(DAG_TESTS / "run_dag.py"), dag_id, run_id, json.dumps(conf))
        states: dict[str, str] = json.loads(result.stdout.splitlines()[-1])
        if states["run"] != "success":
            print(result.stdout[-8000:], result.stderr[-8000:])
        return states

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python in this Airflow's environment; it has to exit with status 0."""
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

    def rows(self, query: str) -> list[Any]:
        """Return the rows of a query on the results store."""
        with read_session(self.settings) as session:
            return list(session.execute(text(query)).all())

    def value(self, query: str) -> Any:
        """Return the first column of the first row of a query on the results store."""
        return self.rows(query)[0][0]


@contextmanager
def new_airflow(server: Settings, run_folder: Path, home: Path) -> Iterator[Airflow]:
    """Provide an Airflow with an empty home and empty, migrated databases."""
    _once(run_folder, "airflow", lambda: _make_airflow_template(server, run_folder))
    with (
        new_database(server, TEMPLATE) as results,
        new_database(server, AIRFLOW_TEMPLATE) as metadata,
    ):
        yield _connect(server, home, results, metadata)


@contextmanager
def airflow_with_champion(server: Settings, run_folder: Path, home: Path) -> Iterator[Airflow]:
    """Provide an Airflow whose home has one ingested synthetic batch and a first champion."""
    _once(run_folder, "airflow", lambda: _make_airflow_template(server, run_folder))
    _once(run_folder, "champion", lambda: _make_champion_template(server, run_folder))
    shutil.copytree(run_folder / "champion-home", home, dirs_exist_ok=True)
    with (
        new_database(server, CHAMPION_RESULTS) as results,
        new_database(server, CHAMPION_AIRFLOW) as metadata,
    ):
        yield _connect(server, home, results, metadata)


def _connect(server: Settings, home: Path, results: str, metadata: str) -> Airflow:
    settings = Settings(
        home=home,
        database_url=database_url(server, results, WRITER),
        reader_database_url=database_url(server, results, READER),
        settle_seconds=0,
        default_recipe=str(DAG_TESTS / "tiny.toml"),
        promotion_policy=DAG_TESTS / "lenient.toml",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DATABASE_VARIABLE, database_url(server, metadata, OWNER))
        return Airflow(settings, airflow_environment(settings))


def _make_airflow_template(server: Settings, run_folder: Path) -> None:
    _recreate_database(server, AIRFLOW_TEMPLATE)
    airflow = _connect(server, run_folder / "airflow-home", TEMPLATE, AIRFLOW_TEMPLATE)
    airflow.python("-m", "airflow", "db", "migrate")


def _make_champion_template(server: Settings, run_folder: Path) -> None:
    _recreate_database(server, CHAMPION_RESULTS, TEMPLATE)
    _recreate_database(server, CHAMPION_AIRFLOW, AIRFLOW_TEMPLATE)
    home, drop = run_folder / "champion-home", run_folder / "champion-drop" / "synthetic"
    for folder in (home, drop):
        shutil.rmtree(folder, ignore_errors=True)
    airflow = _connect(server, home, CHAMPION_RESULTS, CHAMPION_AIRFLOW)
    write_demo_drop(drop, patients_per_label=24, slices_per_patient=2)
    put_drop(airflow.settings, drop, "synthetic")
    for dag_id, conf in (("ingest_scans", {}), ("retrain_champion", {"task": "four_class"})):
        states = airflow.run(dag_id, "first", **conf)
        assert states["run"] == "success", states
    assert states["retrain.approval[0]"] == "skipped"


def _recreate_database(server: Settings, name: str, template: str | None = None) -> None:
    # An earlier attempt that failed may have left one.
    run_as_owner(server, f"drop database if exists {name} with (force)")
    copied = f" template {template} strategy file_copy" if template else ""
    run_as_owner(server, f"create database {name}{copied}")


def _once(run_folder: Path, name: str, make: Callable[[], None]) -> None:
    """Call ``make`` unless a process of this test run has done so already."""
    with (run_folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        finished = run_folder / f"{name}.finished"
        if not finished.exists():
            make()
            finished.touch()
