"""The human step of a retraining, in the Airflow UI."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException

from tumorml.policy import load_policy
from tumorml.settings import Settings


class RecordedApproval(ApprovalOperator):
    """An approval whose No is recorded by the task that follows, as its Yes is.

    On a No, Airflow's own operator skips what follows. In a mapped task group Airflow 3.3 overlooks
    that (apache/airflow #67265); here it must not happen in any version.
    """

    def skip(self, ti: Any, tasks: Iterable[Any]) -> None:
        """Skip nothing."""


def response_timeout(settings: Settings) -> timedelta:
    """How long a person has, by the policy.

    Raises:
        TumorMLError: The policy cannot be read; Airflow shows it as the DAG's import error.
    """
    return timedelta(hours=load_policy(settings.promotion_policy).approval.timeout_hours)


def request_or_skip(settings: Settings, verdict_id: str) -> dict[str, str]:
    """What to ask, its ``subject`` and ``body``, once the page that the body names lies there.

    Raises:
        AirflowSkipException: The verdict needs nobody's approval.
    """
    from tumorml.promotion.approval import approval_request, find_verdict
    from tumorml.reports.run.write_run_report import write_run_report

    request = approval_request(settings, verdict_id)
    if request is None:
        raise AirflowSkipException(f"The verdict {verdict_id} needs nobody's approval.")
    _, run_id = find_verdict(settings, verdict_id)
    write_run_report(settings, run_id)
    return request


def record_answer(settings: Settings, verdict_id: str, answer: dict[str, Any]) -> str:
    """Record what an `ApprovalOperator` returned; the verdict's outcome.

    Airflow answers with the default, a No, when the time is over, and names no user then.
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
    """Do what a verdict says; its outcome.

    The trigger rule that lets pass a skipped approval lets pass a skipped judgement too.

    Raises:
        AirflowSkipException: Nothing was judged.
    """
    from tumorml.promotion.promote import promote

    if verdict_id is None:
        raise AirflowSkipException("Nothing was judged.")
    return promote(settings, verdict_id, who=who)
