"""The DAG files: CPU seconds of parsing, and graphs compared with a stored snapshot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.factories.airflow import Airflow
from tumorml.recipes.load_recipe import recipe_names
from tumorml.settings import PROJECT_ROOT

DAG_FILES = sorted((PROJECT_ROOT / "dags").glob("*.py"))

PARSE = """
import json, runpy, sys, time
import airflow.sdk
started = time.process_time()  # unlike wall time, independent of other processes
runpy.run_path(sys.argv[1])
heavy = ["tensorflow", "keras", "pandas", "great_expectations", "sklearn", "matplotlib"]
print(json.dumps([time.process_time() - started, [name for name in heavy if name in sys.modules]]))
"""

DESCRIBE = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag()
assert not bag.import_errors, bag.import_errors
print(json.dumps({
    dag_id: {
        "schedule": type(dag.timetable).__name__,
        "max_active_runs": dag.max_active_runs,
        "params": {name: dag.params.get_param(name).schema for name in dag.params},
        "tasks": {
            task.task_id: {
                "downstream": sorted(task.downstream_task_ids),
                "mapped": bool(task.get_closest_mapped_task_group() or task.is_mapped),
                "pool": task.pool, "queue": task.queue, "retries": task.retries,
                "trigger_rule": str(task.trigger_rule),
            } for task in dag.tasks
        },
    } for dag_id, dag in sorted(bag.dags.items())
}))
"""


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.name)
def test_dag_file_parses_within_a_second(airflow: Airflow, path: Path) -> None:
    seconds, heavy = parse(airflow, path)
    assert heavy == []
    if seconds >= 1.0:  # the first time may include compiling
        seconds, _ = parse(airflow, path)
    assert seconds < 1.0


def parse(airflow: Airflow, path: Path) -> tuple[float, list[str]]:
    """Return the CPU seconds of parsing a file, and the heavy libraries that it imported."""
    seconds, heavy = json.loads(airflow.python("-c", PARSE, str(path)).stdout.splitlines()[-1])
    return seconds, heavy


def test_graph_of_every_dag_equals_the_snapshot(
    airflow: Airflow, snapshot: SnapshotAssertion
) -> None:
    described = json.loads(airflow.python("-c", DESCRIBE).stdout.splitlines()[-1])
    recipe = described["retrain_champion"]["params"]["recipe"]
    assert recipe["examples"] == recipe_names()
    recipe["examples"] = "<recipe names>"  # A new recipe must not change the snapshot.
    assert json.dumps(described, indent=2, sort_keys=True) == snapshot
