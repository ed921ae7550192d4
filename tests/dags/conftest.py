"""A real Airflow for each module of DAG tests, empty or with a first champion."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.factories.airflow import Airflow, airflow_with_champion, new_airflow
from tumorml.settings import Settings


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all xdist workers of this test run share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="module")
def airflow(
    postgres: Settings, run_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Airflow]:
    with new_airflow(postgres, run_folder, tmp_path_factory.mktemp("home")) as airflow:
        yield airflow


@pytest.fixture(scope="module")
def first_champion(
    postgres: Settings, run_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Airflow]:
    """An Airflow with one ingested batch and a champion that needed no approval."""
    with airflow_with_champion(postgres, run_folder, tmp_path_factory.mktemp("home")) as airflow:
        yield airflow
