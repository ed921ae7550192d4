"""A small client of Airflow's REST API."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import httpx

from tumorml.service.airflow.secrets import ADMIN_USER

COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
ACTIVE_STATES = ("queued", "running")


class AirflowApi:
    """Client that logs in with a password and renews an expired token.

    Every method raises `httpx.HTTPError` if Airflow does not respond, or responds with an error
    that the method's docstring does not name.

    Args:
        url: Root URL of the API server, for instance ``http://127.0.0.1:8080``.
        password: Password of the user `ADMIN_USER`.
    """

    def __init__(self, url: str, password: str) -> None:
        self._password = password
        self._client = httpx.Client(base_url=url, timeout=10.0, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def unhealthy(self, since: datetime) -> list[str]:
        """Return the components that are not healthy; all of them if Airflow does not respond.

        Args:
            since: Start of this Airflow; older heartbeats are of an earlier start and are ignored.
        """
        try:
            response = self._client.get("/api/v2/monitor/health")
            response.raise_for_status()
        except httpx.HTTPError:
            return list(COMPONENTS)
        health = response.json()
        return [name for name in COMPONENTS if not _is_healthy(name, health.get(name), since)]

    def warm_up(self) -> None:
        """Make the API server build its execution API now instead of at the first task.

        Returns at once: the build takes seconds and runs in a background thread.
        """
        url = self._client.base_url.join("/execution/health")

        def request() -> None:
            with suppress(httpx.HTTPError):
                httpx.get(url, timeout=60.0, trust_env=False)

        threading.Thread(target=request, daemon=True).start()

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        """Create a pool if it does not exist; the size of an existing pool is kept."""
        if self._send("GET", f"/api/v2/pools/{name}").status_code == httpx.codes.NOT_FOUND:
            body = {"name": name, "slots": slots, "description": description}
            self._send(
                "POST", "/api/v2/pools", body | {"include_deferred": False}
            ).raise_for_status()

    def has_dag(self, dag_id: str) -> bool:
        """Return True if the DAG has been parsed."""
        response = self._send("GET", f"/api/v2/dags/{dag_id}")
        if response.status_code == httpx.codes.NOT_FOUND:
            return False
        response.raise_for_status()
        return True

    def import_errors(self) -> list[str]:
        """Return each DAG file with an import error, and the last line of the error."""
        errors = self._get("/api/v2/importErrors")["import_errors"]
        return [
            f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}"
            for error in errors
        ]

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> None:
        """Start a DAG run; an existing run with this id is left unchanged."""
        response = self._send(
            "POST",
            f"/api/v2/dags/{dag_id}/dagRuns",
            {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf)},
        )
        if response.status_code != httpx.codes.CONFLICT:
            response.raise_for_status()

    def run_state(self, dag_id: str, run_id: str) -> str | None:
        """Return ``queued``, ``running``, ``success`` or ``failed``; None without such a run."""
        response = self._send("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        response.raise_for_status()
        return str(response.json()["state"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the DAG's latest 25 runs, newest first: ``dag_run_id``, ``state``, ..."""
        page = self._get(f"/api/v2/dags/{dag_id}/dagRuns", {"order_by": "-id", "limit": 25})
        return list(page["dag_runs"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the run's task instances: ``task_id``, ``state``, ``map_index``, ..."""
        page = self._get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances", {"limit": 100})
        return list(page["task_instances"])

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        response = self._send("GET", path, query=query)
        response.raise_for_status()
        content: dict[str, Any] = response.json()
        return content

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        for _ in range(2):
            if "Authorization" not in self._client.headers:
                self._log_in()
            response = self._client.request(method, path, json=body, params=query)
            if response.status_code != httpx.codes.UNAUTHORIZED:
                break
            del self._client.headers["Authorization"]
        return response

    def _log_in(self) -> None:
        response = self._client.post(
            "/auth/token", json={"username": ADMIN_USER, "password": self._password}
        )
        response.raise_for_status()
        self._client.headers["Authorization"] = f"Bearer {response.json()['access_token']}"


def _is_healthy(name: str, component: Mapping[str, Any] | None, since: datetime) -> bool:
    if component is None or component.get("status") != "healthy":
        return False
    if name == "metadatabase":
        return True
    heartbeat = component.get(f"latest_{name}_heartbeat")
    return heartbeat is not None and datetime.fromisoformat(heartbeat) >= since
