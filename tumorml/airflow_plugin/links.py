"""Links on tasks in the Airflow UI."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

from tumorml.airflow_plugin.urls import runs_path

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class ReportLink(BaseOperatorLink):
    """Link from a task to the reports of its DAG run.

    Airflow may store the path of this class: do not move it.
    """

    name = "Reports"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the path of the page."""
        return runs_path(quote(ti_key.run_id, safe=""))
