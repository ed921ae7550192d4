"""What Airflow hands over of a person's answer, and what becomes of it."""

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
    """As ``ApprovalOperator`` returns it."""
    return {
        "chosen_options": [option],
        "params_input": {"why": why},
        "responded_at": datetime.now(UTC),
        "responded_by_user": {"id": user, "name": user} if user else None,
    }


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (answer("Approve", "fine", "ann"), ("promoted", "approved", "ann", "fine")),
        (answer("Approve", None, "ann"), ("promoted", "approved", "ann", None)),
        (answer("Reject", "", "ann"), ("kept", "rejected", "ann", "no reason given")),
    ],
)
def test_an_answer_is_kept_with_its_user_and_reason(
    settings: Settings, given: dict[str, Any], verdict: tuple[str | None, ...]
) -> None:
    name = winning_verdict(settings, "a")
    assert record_answer(settings, name, given) == verdict[0]
    outcome, _, *approval = read_approval(settings, name)
    assert (outcome, *approval) == verdict


def test_an_answer_of_nobody_is_a_silence_of_so_many_hours(settings: Settings) -> None:
    name = winning_verdict(settings, "a")
    hours = load_policy(settings.promotion_policy).approval.timeout_hours
    record_answer(settings, name, answer("Reject", "", None))
    reason = f"nobody approved it within {hours:g} hours"
    assert read_approval(settings, name) == ("kept", f"won, but {reason}", "rejected", None, reason)


def test_where_nobody_is_asked_or_nothing_was_judged_the_task_is_skipped(
    settings: Settings,
) -> None:
    with pytest.raises(AirflowSkipException, match="v-a needs nobody's approval"):
        request_or_skip(settings, winning_verdict(settings, "a", approval=None))
    with pytest.raises(AirflowSkipException, match="Nothing was judged"):
        promote_or_skip(settings, None, who="ann")


def test_a_person_has_the_hours_that_the_policy_gives(settings: Settings, tmp_path: Path) -> None:
    policy = load_policy(settings.promotion_policy)
    assert response_timeout(settings) == timedelta(hours=policy.approval.timeout_hours)
    broken = settings.model_copy(update={"promotion_policy": tmp_path / "none.toml"})
    with pytest.raises(TumorMLError, match=r"none\.toml cannot be read"):
        response_timeout(broken)
