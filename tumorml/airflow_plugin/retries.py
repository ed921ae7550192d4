"""Retries of tasks: transient failures are retried, errors that a person must fix are not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from tumorml.errors import TransientError, TumorMLError

RETRY_TRANSIENT_ERRORS: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=10),
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            RetryRule(
                exception=TransientError,
                action=RetryAction.RETRY,
                reason="A transient failure; memory or the object store may be available again.",
            ),
            RetryRule(
                exception=TumorMLError,
                action=RetryAction.FAIL,
                reason="A person has to fix this; retrying does not help.",
            ),
        ]
    ),
}
"""Default arguments of the DAGs. Other exceptions and killed processes are retried, too."""
