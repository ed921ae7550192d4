"""A plan without a run, as Airflow shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:
    from tumorml.training.plan_run import Plan


def run_or_skip(plan: Plan) -> str:
    """The planned run's id; the task's label in the UI says which run, or why there is none.

    Raises:
        AirflowSkipException: There is nothing to do; the message says why.
    """
    context = cast("dict[str, Any]", get_current_context())
    context["run_label"] = plan.run_id or plan.reason.split(". ")[0]
    if plan.run_id is None:
        raise AirflowSkipException(plan.reason)
    return plan.run_id
