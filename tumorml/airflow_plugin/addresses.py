"""Where the pages of the plugin lie, on Airflow's own host."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from airflow.sdk.configuration import conf

MOUNTED_AT = "/tumorml"


def overview_address() -> str:
    """The path of the page about the whole service."""
    return f"{_root()}/overview"


def runs_address(dag_run: str) -> str:
    """The path of the page about a DAG run; ``dag_run`` is quoted already or a placeholder."""
    return f"{_root()}/runs?dag_run={dag_run}"


def file_address(key: str) -> str:
    """The path of a file of the object store."""
    return f"{_root()}/files/{quote(key)}"


def _root() -> str:
    """Airflow may itself lie under a path of a shared host."""
    base: str = conf.get("api", "base_url", fallback="")
    return urlsplit(base).path.rstrip("/") + MOUNTED_AT
