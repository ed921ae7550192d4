"""Ingest every complete drop in the inbox."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, dag, task

from tumorml.airflow_plugin.inbox_trigger import InboxTrigger
from tumorml.airflow_plugin.retries import RETRY_TRANSIENT_ERRORS
from tumorml.settings import get_settings

settings = get_settings()

INBOX = Asset(
    "inbox",
    watchers=[
        AssetWatcher(
            name="inbox_watcher", trigger=InboxTrigger(poll_seconds=settings.inbox_poll_seconds)
        )
    ],
)
SCANS = Asset("scans")
SHARD = (
    "{{ task.op_kwargs['batch_id'] }} {{ task.op_kwargs['shard'] }}/{{ task.op_kwargs['shards'] }}"
)


@dag(
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable(
            settings.ingest_cron, timezone="UTC", run_immediately=timedelta(0)
        ),
        assets=[INBOX],
    ),
    max_active_runs=1,
    catchup=False,
    default_args=RETRY_TRANSIENT_ERRORS,
    tags=["tumorml"],
    doc_md="""
    Runs when a new drop arrives, and each night before the retraining. It ingests **all** waiting
    drops, each as one batch: decode, profile, validate, register, archive. A large drop is read in
    shards, in parallel on as many workers as the pool `ingest` has slots. If a shard cannot be
    read, its batch waits for the next run; the other batches are finished. The views
    `batch_summary` and `batch_file` show the outcome of each batch and file.
    """,
)
def ingest_scans() -> None:
    @task.short_circuit
    def claim_drops() -> list[str]:
        """Claim the waiting drops as batches; the run stops here if there are none."""
        from tumorml.scans.inbox.claim import claim_drops

        return claim_drops(get_settings())

    @task
    def plan_shards(batch_ids: list[str]) -> list[dict[str, Any]]:
        """Split each batch into shards that one worker can read."""
        from tumorml.scans.ingest.plan_shards import plan_shards

        return plan_shards(get_settings(), batch_ids)

    @task(pool="ingest", map_index_template=SHARD)
    def read_shard(batch_id: str, shard: int, shards: int) -> None:
        """Read the files of one shard and store their scans."""
        from tumorml.scans.ingest.read_shard import read_shard

        read_shard(get_settings(), batch_id, shard, shards)

    @task
    def planned_batches(shards: list[dict[str, Any]]) -> list[str]:
        """Return the ids of the batches of this run."""
        from tumorml.scans.ingest.plan_shards import planned_batches

        return planned_batches(shards)

    @task(
        pool="ingest",
        map_index_template="{{ task.op_kwargs['batch_id'] }}",
        outlets=[SCANS],
        trigger_rule="all_done",  # a failed shard affects its own batch only
    )
    def finish_batch(batch_id: str) -> str:
        """Validate and register one batch, then move its files out of the inbox."""
        from tumorml.scans.ingest.finish_batch import finish_batch

        return finish_batch(get_settings(), batch_id)

    @task(pool="ingest", map_index_template=SHARD, trigger_rule="all_done")
    def fingerprint_scans(batch_id: str, shard: int, shards: int) -> int:
        """Compute the fingerprints of one part of a batch's scans."""
        from tumorml.scans.ingest.fingerprint_scans import fingerprint_scans

        return fingerprint_scans(get_settings(), batch_id, shard, shards)

    @task(trigger_rule="all_done")
    def assign_groups() -> int:
        """Assign new scans to groups and to sides of the split."""
        from tumorml.datasets.grouping.assign_groups import assign_groups

        return assign_groups(get_settings())

    # Airflow derives the state of a run from its leaf tasks. With this leaf, the run fails if any
    # batch could not be finished.
    every_batch_is_in = EmptyOperator(task_id="every_batch_is_in", trigger_rule="none_failed")

    planned = plan_shards(claim_drops())
    finished = finish_batch.expand(batch_id=planned_batches(planned))
    read_shard.expand_kwargs(planned) >> finished
    finished >> fingerprint_scans.expand_kwargs(planned) >> assign_groups()
    finished >> every_batch_is_in


ingest_scans()
