"""Takes in every drop that waits in the inbox."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, dag, task

from tumorml.airflow_plugin.inbox_trigger import InboxTrigger
from tumorml.airflow_plugin.retries import RETRY_WHAT_MAY_PASS
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


@dag(
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable(
            settings.ingest_cron, timezone="UTC", run_immediately=timedelta(0)
        ),
        assets=[INBOX],
    ),
    max_active_runs=1,
    catchup=False,
    default_args=RETRY_WHAT_MAY_PASS,
    tags=["tumorml"],
    doc_md="""
    Woken by a new drop, and each night before the retraining, it takes **all** waiting drops, each
    as one batch: decode, profile, validate, register, archive. Ask `batch_summary` and
    `batch_file` in SQL for what became of each file.
    """,
)
def ingest_scans() -> None:
    @task.short_circuit
    def claim_drops() -> list[str]:
        """The batches that wait; nothing more is done where there are none."""
        from tumorml.scans.claim import claim_drops

        return claim_drops(get_settings())

    @task(pool="ingest", map_index_template="{{ task.op_kwargs['batch_id'] }}", outlets=[SCANS])
    def ingest_batch(batch_id: str) -> str:
        """Read, validate and register one batch, then move its files away."""
        from tumorml.scans.ingest import ingest_batch

        return ingest_batch(get_settings(), batch_id)

    @task(trigger_rule="none_failed")
    def assign_groups() -> int:
        """Give new scans their group and their side of the split."""
        from tumorml.datasets.groups import assign_groups

        return assign_groups(get_settings())

    ingest_batch.expand(batch_id=claim_drops()) >> assign_groups()


ingest_scans()
