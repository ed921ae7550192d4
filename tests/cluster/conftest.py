"""The whole stack, once: two training workers, everything else as the file says."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.processes import Cluster
from tumorml.settings import PROJECT_ROOT

DAG_TESTS = PROJECT_ROOT / "tests" / "dags"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    # Not below pytest's own folder: it is closed to the user that Postgres runs as under root.
    folder = Path(tempfile.mkdtemp(prefix="tumorml-cluster-"))
    settings = {
        "TUMORML_DEFAULT_RECIPE": str(DAG_TESTS / "tiny.toml"),
        "TUMORML_PROMOTION_POLICY": str(DAG_TESTS / "lenient.toml"),
    }
    cluster = Cluster(folder, settings, {"worker-cpu-train": 2})
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()
    shutil.rmtree(folder)
