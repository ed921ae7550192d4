"""Two schedulers and a drop every ten seconds: each drop becomes one batch, ingested once.

TUMORML_TEST_DROP_MINUTES sets the duration in minutes (default 20).
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.drops import drop, labeled_files, s3_client
from tests.cluster.processes import Cluster, running_cluster
from tests.cluster.questions import airflow_rows, results, wait_until
from tests.cluster.restarting import Restarting

MINUTES = float(os.environ.get("TUMORML_TEST_DROP_MINUTES", "20"))
EVERY_SECONDS = 10.0
FILES = 3
PATIENCE_SECONDS = 3600.0
"""Timeout for the ingest of the drops that are still waiting after the last drop."""
DROPS = max(1, round(60 * MINUTES / EVERY_SECONDS))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 * MINUTES + 2 * PATIENCE_SECONDS)]


@dataclass(frozen=True)
class Evening:
    """A stack that has ingested all drops.

    Attributes:
        cluster: The running stack.
        dropped: Number of files by drop and path.
        store: S3 client of the stack's object store.
        restarts: Number of restarts by replica.
    """

    cluster: Cluster
    dropped: Counter[tuple[str, str]]
    store: Any
    restarts: Counter[str]


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    files = labeled_files(tmp_path_factory.mktemp("pictures"), DROPS * FILES)
    with running_cluster({}, {"scheduler": 2}) as cluster:
        store = s3_client(cluster)
        with Restarting(cluster) as restarting:
            dropped = drop_all(store, files)
            wait_until(
                lambda: unfinished_count(cluster) == 0 and batch_count(cluster) == DROPS,
                cluster,
                PATIENCE_SECONDS,
                "every batch is finished",
            )
            wait_until(lambda: not has_active_runs(cluster), cluster, 300, "no run is left")
        yield Evening(cluster, dropped, store, restarting.restarts)


def test_every_file_is_in_exactly_one_batch(evening: Evening) -> None:
    rows = results(
        evening.cluster,
        "select drop_name, path from batch_file join batch on batch.id = batch_id",
    )
    assert Counter((drop, path) for drop, path in rows) == evening.dropped
    assert set(evening.dropped.values()) == {1}


def test_every_drop_is_one_ingested_batch(evening: Evening) -> None:
    rows = results(evening.cluster, "select state, count(*) from batch group by state")
    assert rows == [("ingested", DROPS)]


def test_no_scan_is_missing(evening: Evening) -> None:
    (counted,) = results(
        evening.cluster,
        "select (select count(*) from scan), (select count(*) from fingerprint), "
        "(select count(*) from scan_group)",
    )
    assert counted == (DROPS * FILES,) * 3


def test_the_inbox_is_empty(evening: Evening) -> None:
    listed = evening.store.list_objects_v2(Bucket="tumorml", Prefix="inbox/")
    assert listed.get("Contents", []) == []


def test_every_batch_was_finished_by_one_task(evening: Evening) -> None:
    rows = airflow_rows(
        evening.cluster,
        "select rendered_map_index, count(*) from "
        "(select task_id, state, rendered_map_index from task_instance union all"
        " select task_id, state, rendered_map_index from task_instance_history) tries "
        "where task_id = 'finish_batch' and state = 'success' group by rendered_map_index",
    )
    assert len(rows) == DROPS
    assert {count for _, count in rows} == {1}


def test_no_run_failed(evening: Evening) -> None:
    rows = airflow_rows(evening.cluster, "select distinct state from dag_run")
    assert rows == [("success",)]


def test_both_schedulers_worked(evening: Evening) -> None:
    queued = airflow_rows(
        evening.cluster,
        "select queued_by_job_id, count(*) from task_instance "
        "where queued_by_job_id is not null group by queued_by_job_id",
    )
    print(f"tasks by scheduler: {queued}; restarts: {dict(evening.restarts)}")
    assert not [name for name in evening.restarts if name.startswith("scheduler")]
    assert len(queued) == 2


def drop_all(store: Any, files: list[tuple[str, Path]]) -> Counter[tuple[str, str]]:
    """Put a drop into the inbox every ten seconds; return the files by drop and path."""
    dropped: Counter[tuple[str, str]] = Counter()
    started = time.monotonic()
    for number in range(DROPS):
        time.sleep(max(0.0, started + number * EVERY_SECONDS - time.monotonic()))
        some = files[number * FILES : (number + 1) * FILES]
        dropped.update(drop(store, f"evening-{number:04d}", some))
    return dropped


def batch_count(cluster: Cluster) -> int:
    ((count,),) = results(cluster, "select count(*) from batch")
    return int(count)


def unfinished_count(cluster: Cluster) -> int:
    ((count,),) = results(cluster, "select count(*) from batch where finished_at is null")
    return int(count)


def has_active_runs(cluster: Cluster) -> bool:
    return bool(
        airflow_rows(cluster, "select 1 from dag_run where state in ('queued', 'running') limit 1")
    )
