"""Airflow pools of the DAGs: limits of parallel tasks."""

from __future__ import annotations

from typing import NamedTuple


class PoolSize(NamedTuple):
    """Initial size of an Airflow pool; a size that a user changes later is kept."""

    name: str
    slots: int
    description: str


POOLS = (
    PoolSize(
        "gpu",
        1,
        "Training, evaluation, scoring: one task at a time, so that no two share a GPU.",
    ),
    PoolSize("ingest", 2, "Ingest of drops."),
)
