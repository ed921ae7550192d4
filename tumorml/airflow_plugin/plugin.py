"""What Airflow loads: a page about the service, and a tab of each DAG run about its runs."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from tumorml.airflow_plugin.addresses import MOUNTED_AT, overview_address, runs_address


class TumorMLPlugin(AirflowPlugin):
    """Found by its entry point."""

    name = "tumorml"
    external_views: list[Any] = [  # noqa: RUF012 - as Airflow declares it
        {
            "name": "Tumor ML",
            "href": overview_address(),
            "destination": "nav",
            "url_route": "tumorml",
            "nav_top_level": True,
        },
        {
            "name": "Reports",
            "href": runs_address("{RUN_ID}"),
            "destination": "dag_run",
            "url_route": "tumorml-reports",
        },
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Of the API server alone: other processes of Airflow do without what it imports."""
        from tumorml.airflow_plugin.pages import app

        return [{"app": app, "url_prefix": MOUNTED_AT, "name": "tumorml"}]
