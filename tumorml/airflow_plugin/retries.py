"""Which failures of a task are worth another try."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from tumorml.errors import TooLittleMemoryError, TumorMLError

RETRY_WHAT_MAY_PASS: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=10),
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            RetryRule(
                exception=TooLittleMemoryError,
                action=RetryAction.RETRY,
                reason="Whoever has the memory now may have left by then.",
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
