"""Approvals in the Airflow UI: requests, answers, timeouts and skipped tasks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from tests.factories.verdicts import read_approval, winning_verdict
from tumorml.airflow_plugin.approvals import (
    promote_or_skip,
    record_answer,
    request_or_skip,
    response_timeout,
)
from tumorml.errors import TumorMLError
from tumorml.policy import load_policy
from tumorml.settings import Settings


def answer(option: str, why: str | None, user: str | None) -> dict[str, Any]:
    """The result of an ``ApprovalOperator``."""
    return {
        "chosen_options": [option],
        "params_input": {"why": why},
        "responded_at": datetime.now(UTC),
        "responded_by_user": {"id": user, "name": user} if user else None,
    }


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (answer("Approve", "fine", "ann"), ("promoted", "approved", "ann", "fine")),
        (answer("Approve", None, "ann"), ("promoted", "approved", "ann", None)),
        (answer("Reject", "", "ann"), ("kept", "rejected", "ann", "no reason given")),
    ],
)
def test_answer_is_recorded_with_user_and_reason(
    settings: Settings, response: dict[str, Any], expected: tuple[str | None, ...]
) -> None:
    verdict_id = winning_verdict(settings, "a")
    assert record_answer(settings, verdict_id, response) == expected[0]
    outcome, _, *approval = read_approval(settings, verdict_id)
    assert (outcome, *approval) == expected


def test_timeout_is_recorded_as_rejection_with_its_hours(settings: Settings) -> None:
    verdict_id = winning_verdict(settings, "a")
    hours = load_policy(settings.promotion_policy).approval.timeout_hours
    record_answer(settings, verdict_id, answer("Reject", "", None))
    reason = f"nobody approved it within {hours:g} hours"
    assert read_approval(settings, verdict_id) == (
        "kept",
        f"won, but {reason}",
        "rejected",
        None,
        reason,
    )


def test_task_is_skipped_without_approval_or_verdict(settings: Settings) -> None:
    with pytest.raises(AirflowSkipException, match="Verdict v-a needs no approval"):
        request_or_skip(settings, winning_verdict(settings, "a", approval=None))
    with pytest.raises(AirflowSkipException, match="There is no verdict: no run was judged"):
        promote_or_skip(settings, None, who="ann")


def test_response_timeout_comes_from_the_policy(settings: Settings, tmp_path: Path) -> None:
    policy = load_policy(settings.promotion_policy)
    assert response_timeout(settings) == timedelta(hours=policy.approval.timeout_hours)
    broken = settings.model_copy(update={"promotion_policy": tmp_path / "none.toml"})
    with pytest.raises(TumorMLError, match=r"none\.toml cannot be read"):
        response_timeout(broken)
