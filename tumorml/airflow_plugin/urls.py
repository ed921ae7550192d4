"""URL paths of the plugin's pages on Airflow's own host."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from airflow.sdk.configuration import conf

MOUNT_PATH = "/tumorml"


def overview_path() -> str:
    """Return the path of the overview page."""
    return f"{_root()}/overview"


def runs_path(dag_run: str) -> str:
    """Return the path of the page about a DAG run.

    Args:
        dag_run: Id of the DAG run, URL-quoted, or a placeholder that Airflow fills in.
    """
    return f"{_root()}/runs?dag_run={dag_run}"


def file_path(key: str) -> str:
    """Return the path of a file in the object store."""
    return f"{_root()}/files/{quote(key)}"


def _root() -> str:
    # Airflow itself may be served below a path of a shared host.
    base: str = conf.get("api", "base_url", fallback="")
    return urlsplit(base).path.rstrip("/") + MOUNT_PATH
