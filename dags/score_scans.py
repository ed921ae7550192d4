"""Predict unlabeled scans with the champion of each task."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Asset, AssetOrTimeSchedule, CronTriggerTimetable, dag, task

from tumorml.airflow_plugin.retries import RETRY_TRANSIENT_ERRORS
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
    default_args=RETRY_TRANSIENT_ERRORS,
    tags=["tumorml"],
    doc_md="""
    Runs after each ingest and each promotion, every night, and by hand. The champion of each task
    predicts every unlabeled scan that it has not predicted yet. The view `prediction_history` lists
    the predictions: `where source = 'score'`.
    """,
)
def score_scans() -> None:
    @task
    def tasks_with_champion() -> list[str]:
        """Return the tasks that have a champion."""
        from tumorml.promotion.champion import champions_by_task

        return [str(task) for task in Task if task in champions_by_task(get_settings())]

    @task(pool="gpu", map_index_template="{{ task.op_kwargs['task_name'] }}")
    def score(task_name: str) -> int:
        """Predict the waiting scans and store their heatmaps."""
        from tumorml.serving.score_scans import score_scans

        return score_scans(get_settings(), Task(task_name))

    score.expand(task_name=tasks_with_champion())


score_scans()
