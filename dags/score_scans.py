"""Lets the champion read the scans that nobody has labelled."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Asset, AssetOrTimeSchedule, CronTriggerTimetable, dag, task

from tumorml.airflow_plugin.retries import RETRY_WHAT_MAY_PASS
from tumorml.labels import Task
from tumorml.settings import get_settings

settings = get_settings()


@dag(
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable(
            settings.score_cron, timezone="UTC", run_immediately=timedelta(0)
        ),
        assets=Asset("scans") | Asset("champion"),
    ),
    max_active_runs=1,
    catchup=False,
    default_args=RETRY_WHAT_MAY_PASS,
    tags=["tumorml"],
    doc_md="""
    After each ingest and each promotion, every night, and by hand: the champion of each task over
    every unlabelled scan that it has not read yet. Ask `prediction_history` in SQL,
    `where source = 'score'`.
    """,
)
def score_scans() -> None:
    @task
    def tasks_with_champion() -> list[str]:
        """The tasks that have a champion."""
        from tumorml.promotion.champion import champions_by_task

        return [str(task) for task in Task if task in champions_by_task(get_settings())]

    @task(pool="gpu", map_index_template="{{ task.op_kwargs['task_name'] }}")
    def score(task_name: str) -> int:
        """Predictions and heatmaps for the scans that wait."""
        from tumorml.serving.score_scans import score_scans

        return score_scans(get_settings(), Task(task_name))

    score.expand(task_name=tasks_with_champion())


score_scans()
