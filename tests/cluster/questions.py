"""What tests ask of a running stack: rows of its two databases, and when something has happened."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import create_engine, text

from tests.cluster.processes import Cluster


def ask(cluster: Cluster, service: str, variable: str, query: str) -> list[Any]:
    """Rows of a query, asked with a database URL from a service's environment."""
    engine = create_engine(cluster.environment(service)[variable])
    try:
        with engine.connect() as connection:
            return list(connection.execute(text(query)).all())
    finally:
        engine.dispose()


def results(cluster: Cluster, query: str) -> list[Any]:
    """Rows of the results store."""
    return ask(cluster, "worker", "TUMORML_READER_DATABASE_URL", query)


def airflow_rows(cluster: Cluster, query: str) -> list[Any]:
    """Rows of Airflow's database."""
    return ask(cluster, "scheduler", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", query)


def wait_until(
    happened: Callable[[], object], cluster: Cluster, timeout_seconds: float, what: str
) -> None:
    """Wait for something to be true, whatever ends meanwhile.

    Raises:
        AssertionError: It was not in time; with the ends of all logs.
    """
    until = time.monotonic() + timeout_seconds
    while not happened():
        late = time.monotonic() >= until
        assert not late, (what, {name: cluster.log(name) for name in cluster.started()})
        time.sleep(1)
