"""The user who triggered a DAG run."""

from __future__ import annotations

from typing import Any


def triggering_user(context: dict[str, Any]) -> str:
    """Return the user of a manual run, or ``airflow <run id>`` for a scheduled one."""
    run = context["dag_run"]
    user = getattr(run, "triggering_user_name", None)
    return str(user) if user else f"airflow {run.run_id}"
