"""The Airflow plugin: the overview page, and a tab with reports on each DAG run."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from tumorml.airflow_plugin.urls import MOUNT_PATH, overview_path, runs_path


class TumorMLPlugin(AirflowPlugin):
    """Airflow finds this class by the entry point ``airflow.plugins`` in pyproject.toml."""

    name = "tumorml"
    external_views: list[Any] = [  # noqa: RUF012 - as Airflow declares it
        {
            "name": "Tumor ML",
            "href": overview_path(),
            "destination": "nav",
            "url_route": "tumorml",
            "nav_top_level": True,
        },
        {
            "name": "Reports",
            "href": runs_path("{RUN_ID}"),
            "destination": "dag_run",
            "url_route": "tumorml-reports",
        },
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The pages' app. Only the API server reads it, so other processes do not import it."""
        from tumorml.airflow_plugin.pages import app

        return [{"app": app, "url_prefix": MOUNT_PATH, "name": "tumorml"}]
