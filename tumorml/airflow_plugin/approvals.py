"""A person's approval of a challenger, given in the Airflow UI."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException

from tumorml.policy import load_policy
from tumorml.settings import Settings


class RecordedApproval(ApprovalOperator):
    """An approval operator that runs its downstream tasks also after a rejection.

    The downstream tasks record the rejection.

    Airflow's own operator skips the downstream tasks after a rejection, except in a mapped task
    group in Airflow 3.3 (apache/airflow #67265). This class never skips them, in any version.
    """

    def skip(self, ti: Any, tasks: Iterable[Any]) -> None:
        """Do nothing instead of skipping the tasks."""


def response_timeout(settings: Settings) -> timedelta:
    """Return the time that the policy gives a person to respond.

    Raises:
        TumorMLError: The policy cannot be read; Airflow shows it as the DAG's import error.
    """
    return timedelta(hours=load_policy(settings.promotion_policy).approval.timeout_hours)


def request_or_skip(settings: Settings, verdict_id: str) -> dict[str, str]:
    """Write the report that the request refers to, and return the request.

    Returns:
        ``subject`` and ``body`` of the request.

    Raises:
        AirflowSkipException: The verdict needs no approval.
    """
    from tumorml.promotion.approval import approval_request, find_verdict
    from tumorml.reports.run.write_run_report import write_run_report

    request = approval_request(settings, verdict_id)
    if request is None:
        raise AirflowSkipException(f"Verdict {verdict_id} needs no approval.")
    _, run_id = find_verdict(settings, verdict_id)
    write_run_report(settings, run_id)
    return request


def record_answer(settings: Settings, verdict_id: str, answer: dict[str, Any]) -> str:
    """Record the result of an `ApprovalOperator` and return the verdict's outcome.

    After the timeout, the operator's result is its default, a rejection, and has no user.
    """
    from tumorml.promotion.approval import record_approval

    user = answer["responded_by_user"]
    hours = response_timeout(settings) / timedelta(hours=1)
    return record_approval(
        settings,
        verdict_id,
        approved=answer["chosen_options"] == [ApprovalOperator.APPROVE],
        who=user["name"] if user else None,
        why=(answer["params_input"].get("why") or "")
        if user
        else f"nobody approved it within {hours:g} hours",
    )


def promote_or_skip(settings: Settings, verdict_id: str | None, *, who: str) -> str:
    """Carry out a verdict and return its outcome.

    The task's trigger rule allows a skipped approval, and therefore also a skipped ``judge``. In
    that case there is no verdict.

    Raises:
        AirflowSkipException: There is no verdict.
    """
    from tumorml.promotion.promote import promote

    if verdict_id is None:
        raise AirflowSkipException("There is no verdict: no run was judged.")
    return promote(settings, verdict_id, who=who)
