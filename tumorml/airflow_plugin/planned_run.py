"""The outcome of planning a run, as an Airflow task shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:
    from tumorml.training.plan_run import Plan


def planned_run_or_skip(plan: Plan) -> str:
    """Return the id of the planned run.

    The task's label in the UI becomes the run id, or the reason why there is no run.

    Raises:
        AirflowSkipException: No run is planned; the message gives the reason.
    """
    context = cast("dict[str, Any]", get_current_context())
    context["run_label"] = plan.run_id or plan.reason.split(". ")[0]
    if plan.run_id is None:
        raise AirflowSkipException(plan.reason)
    return plan.run_id
