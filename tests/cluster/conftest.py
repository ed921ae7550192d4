"""One stack for all tests: two training workers, one replica of every other service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.processes import TINY_SETTINGS, Cluster, running_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with running_cluster(TINY_SETTINGS, {"worker-cpu-train": 2}) as cluster:
        yield cluster
