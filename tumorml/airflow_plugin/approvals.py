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
    """An approval whose rejection runs the downstream tasks, which record it.

    Airflow's own operator skips downstream tasks after a rejection. In a mapped task group Airflow
    3.3 does not (apache/airflow #67265); this class makes all versions behave alike.
    """

    def skip(self, ti: Any, tasks: Iterable[Any]) -> None:
        """Skip nothing."""


def response_timeout(settings: Settings) -> timedelta:
    """Return the time that the policy gives a person to respond.

    Raises:
        TumorMLError: The policy cannot be read; Airflow shows it as the DAG's import error.
    """
    return timedelta(hours=load_policy(settings.promotion_policy).approval.timeout_hours)


def request_or_skip(settings: Settings, verdict_id: str) -> dict[str, str]:
    """Return the ``subject`` and ``body`` of the request, after writing the report that it names.

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

    After the timeout Airflow answers with the default, a rejection, and without a user.
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

    The trigger rule that admits a skipped approval also admits a skipped judgment.

    Raises:
        AirflowSkipException: There is no verdict.
    """
    from tumorml.promotion.promote import promote

    if verdict_id is None:
        raise AirflowSkipException("There is no verdict: no run was judged.")
    return promote(settings, verdict_id, who=who)
