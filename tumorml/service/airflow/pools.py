"""The pools that the DAGs name: how much of what may run at once."""

from __future__ import annotations

from typing import NamedTuple


class PoolSize(NamedTuple):
    """A pool of Airflow as the service makes it; a size that somebody changed later stays."""

    name: str
    slots: int
    description: str


POOLS = (
    PoolSize(
        "gpu", 1, "Training, evaluation, scoring: one at a time, so that no two share the card."
    ),
    PoolSize("ingest", 2, "Taking in drops."),
)
