"""Which failures of a task are worth another try."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from tumorml.errors import MayPassError, TumorMLError

RETRY_WHAT_MAY_PASS: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=10),
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            RetryRule(
                exception=MayPassError,
                action=RetryAction.RETRY,
                reason="Whoever has the memory may have left, the object store may answer again.",
            ),
            RetryRule(
                exception=TumorMLError,
                action=RetryAction.FAIL,
                reason="A person has to put this right; trying again would not.",
            ),
        ]
    ),
}
"""Default arguments of every DAG: a lost connection or a killed process is tried again."""
