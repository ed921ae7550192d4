"""The whole stack, once: two training workers, everything else as the file says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.processes import Cluster, running_cluster
from tumorml.settings import PROJECT_ROOT

DAG_TESTS = PROJECT_ROOT / "tests" / "dags"
TINY = {
    "TUMORML_DEFAULT_RECIPE": str(DAG_TESTS / "tiny.toml"),
    "TUMORML_PROMOTION_POLICY": str(DAG_TESTS / "lenient.toml"),
}
"""Settings of a stack that trains in seconds, and promotes what it has trained."""


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with running_cluster(TINY, {"worker-cpu-train": 2}) as cluster:
        yield cluster
