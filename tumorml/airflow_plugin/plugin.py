"""What Airflow loads: pages about runs, and a tab of each DAG run that shows them."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from tumorml.airflow_plugin.addresses import MOUNTED_AT, runs_address


class TumorMLPlugin(AirflowPlugin):
    """Found by its entry point."""

    name = "tumorml"

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """Of the API server; every other process of Airflow does without its imports."""
        from tumorml.airflow_plugin.pages import app

        return [{"app": app, "url_prefix": MOUNTED_AT, "name": "tumorml"}]

    @property
    def external_views(self) -> list[dict[str, Any]]:
        """A tab of each DAG run."""
        return [
            {
                "name": "Reports",
                "href": runs_address("{RUN_ID}"),
                "destination": "dag_run",
                "url_route": "tumorml-reports",
            }
        ]
