"""Lets the champion read the scans that nobody has labelled."""

from __future__ import annotations

from airflow.sdk import Asset, dag, task

from tumorml.airflow_plugin.retries import RETRY_WHAT_MAY_PASS
from tumorml.labels import Task
from tumorml.settings import get_settings


@dag(
    schedule=[Asset("scans")],
    max_active_runs=1,
    catchup=False,
    default_args=RETRY_WHAT_MAY_PASS,
    tags=["tumorml"],
    doc_md="""
    After each ingest, and by hand: the champion of each task over every unlabelled scan that it has
    not read yet. Ask `prediction_history` in SQL, `where source = 'score'`.
    """,
)
def score_scans() -> None:
    @task
    def tasks_with_champion() -> list[str]:
        """The tasks that have a champion."""
        from tumorml.promotion.champion import champions

        return [str(task) for task in Task if task in champions(get_settings())]

    @task(map_index_template="{{ task.op_kwargs['task_name'] }}")
    def score(task_name: str) -> int:
        """Predictions and heatmaps for the scans that wait."""
        from tumorml.serving.score import score_scans

        return score_scans(get_settings(), Task(task_name))

    score.expand(task_name=tasks_with_champion())


score_scans()
