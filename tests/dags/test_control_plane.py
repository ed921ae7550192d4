"""DAGs and plugin with the packages of Airflow's image: no TensorFlow, no Great Expectations."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.docker.as_installed_in import NotInstalled
from tests.factories.airflow import Airflow
from tumorml.results.session import reader_url, writer_url

LOADS = """
import json, sys
from airflow import plugins_manager
from airflow.dag_processing.dagbag import DagBag
bag = DagBag()
assert not bag.import_errors, bag.import_errors
import airflow.providers.celery.executors.celery_executor, tumorml.airflow_plugin.inbox_trigger
apps, _ = plugins_manager.get_fastapi_plugins()
assert not plugins_manager.get_import_errors()
print(json.dumps([sorted(bag.dags), [app["name"] for app in apps]]))
"""
IN_IMAGE = ("-m", "tests.docker.as_installed_in", "control-plane")


def test_image_lacks_tensorflow_and_has_airflow() -> None:
    lacking = NotInstalled("control-plane").lacking
    assert {"tensorflow", "keras", "pandas", "great_expectations", "sklearn"} <= lacking
    assert not {"airflow", "celery", "flask_appbuilder", "sqlalchemy", "tumorml"} & lacking


@pytest.fixture
def control_plane(airflow: Airflow) -> Airflow:
    """An Airflow with the URLs of its results store in the environment, as in a container."""
    named = {
        "TUMORML_DATABASE_URL": writer_url(airflow.settings),
        "TUMORML_READER_DATABASE_URL": reader_url(airflow.settings),
    }
    return replace(airflow, environment=airflow.environment | named)


def test_dags_and_plugin_load_in_the_image(control_plane: Airflow, tmp_path: Path) -> None:
    program = tmp_path / "loads.py"
    program.write_text(LOADS)
    dags, apps = json.loads(control_plane.python(*IN_IMAGE, str(program)).stdout.splitlines()[-1])
    assert dags == ["change_champion", "ingest_scans", "retrain_champion", "score_scans"]
    assert "tumorml" in apps


def test_api_server_of_the_image_serves_the_pages(control_plane: Airflow) -> None:
    script = str(Path(__file__).with_name("request_pages.py"))
    pages = ("/tumorml/overview", "/tumorml/runs?dag_run=none")
    output = control_plane.python(*IN_IMAGE, script, *pages).stdout.splitlines()[-1]
    assert [status for status, _, _ in json.loads(output)] == [200, 200]
