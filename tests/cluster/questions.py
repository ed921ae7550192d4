"""Queries of a running stack's two databases, and a wait for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import create_engine, text

from tests.cluster.processes import Cluster


def ask(cluster: Cluster, service: str, variable: str, query: str) -> list[Any]:
    """Return the rows of a query, with the database URL of a service's environment variable."""
    engine = create_engine(cluster.environment(service)[variable])
    try:
        with engine.connect() as connection:
            return list(connection.execute(text(query)).all())
    finally:
        engine.dispose()


def results(cluster: Cluster, query: str) -> list[Any]:
    """Return the rows of a query of the results store."""
    return ask(cluster, "worker", "TUMORML_READER_DATABASE_URL", query)


def airflow_rows(cluster: Cluster, query: str) -> list[Any]:
    """Return the rows of a query of Airflow's database."""
    return ask(cluster, "scheduler", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", query)


def wait_until(
    condition: Callable[[], object], cluster: Cluster, timeout_seconds: float, description: str
) -> None:
    """Wait for a condition; processes may end and restart meanwhile.

    Raises:
        AssertionError: The condition was not met in time; with the last lines of all logs.
    """
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        late = time.monotonic() >= deadline
        assert not late, (description, {name: cluster.log(name) for name in cluster.started()})
        time.sleep(1)
