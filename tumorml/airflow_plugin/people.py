"""Who asked for a run."""

from __future__ import annotations

from typing import Any


def triggered_by(context: dict[str, Any]) -> str:
    """The user who triggered the run by hand, or ``airflow <run id>`` for a scheduled one."""
    run = context["dag_run"]
    user = getattr(run, "triggering_user_name", None)
    return str(user) if user else f"airflow {run.run_id}"
