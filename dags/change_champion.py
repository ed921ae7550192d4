"""Changes the champion by hand: roll back, pin, unpin, force, authorise - always with a reason."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from tumorml.labels import Task
from tumorml.promotion.changes import CHANGES
from tumorml.settings import get_settings


@dag(
    schedule=None,
    max_active_runs=1,
    catchup=False,
    tags=["tumorml"],
    params={
        "task": Param(
            Task.FOUR_CLASS, type="string", enum=list(Task), description="Whose champion."
        ),
        "change": Param(
            CHANGES[0],
            type="string",
            enum=list(CHANGES),
            description="Roll back to an earlier model version, pin one so that no challenger "
            "replaces it, unpin it, force one that did not win, or authorise "
            "the one that serves as the anchor that no later one may fall behind.",
        ),
        "model_version": Param(
            None,
            type=["null", "string"],
            description="Which one. Empty: the champion before this one for a rollback, the one "
            "that serves for a pin. To force one, name it.",
        ),
        "reason": Param("", type="string", minLength=3, description="Kept in champion_history."),
    },
    doc_md="One transaction; ask `champion_history` in SQL for the story.",
)
def change_champion() -> None:
    @task
    def change(**context: Any) -> str:
        """The id of the model version that serves afterwards."""
        from tumorml.airflow_plugin.triggering_user import triggering_user
        from tumorml.promotion.champion import change_champion

        params = context["params"]
        return change_champion(
            get_settings(),
            Task(params["task"]),
            change=params["change"],
            model_version_id=params["model_version"] or None,
            why=params["reason"],
            who=triggering_user(context),
            request=context["dag_run"].run_id,
        )

    change()


change_champion()
