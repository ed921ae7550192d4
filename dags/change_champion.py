"""Change the champion by hand: roll back, pin, unpin, force or authorize, always with a reason."""

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
            Task.FOUR_CLASS,
            type="string",
            enum=list(Task),
            description="The task whose champion changes.",
        ),
        "change": Param(
            CHANGES[0],
            type="string",
            enum=list(CHANGES),
            description="rollback: return to an earlier model version. pin: keep a model version "
            "and refuse all challengers. unpin: admit challengers again. force: promote a model "
            "version that did not win. authorise: make the champion the anchor, which later "
            "models may not fall behind.",
        ),
        "model_version": Param(
            None,
            type=["null", "string"],
            description="Id of the model version. If empty, rollback takes the previous champion "
            "and pin the current one. Required for force.",
        ),
        "reason": Param("", type="string", minLength=3, description="Stored in champion_history."),
    },
    doc_md="One transaction. The view `champion_history` lists all changes.",
)
def change_champion() -> None:
    @task
    def change(**context: Any) -> str:
        """Carry out the change and return the id of the model version that serves afterwards."""
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
