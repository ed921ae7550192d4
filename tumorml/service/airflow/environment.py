"""Environment variables of every Airflow process of the service, local or in a container."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from tumorml.service.airflow.secrets import ADMIN_USER, load_or_create_secrets, passwords_path
from tumorml.settings import PROJECT_ROOT, Settings

AIRFLOW_DATABASE = "airflow"
DATABASE_VARIABLE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
_LOOPBACK = "127.0.0.1,localhost"
_BROKER_RETRY_POLICY = {"max_retries": 1000, "interval_step": 0.1, "interval_max": 0.5}


def airflow_home(settings: Settings) -> Path:
    """Return Airflow's folder: its keys, its configuration, the logs of tasks."""
    return settings.home / "airflow"


def task_log_folder(settings: Settings) -> Path:
    """Return the folder of the logs of tasks."""
    configured = os.environ.get("AIRFLOW__LOGGING__BASE_LOG_FOLDER")
    return Path(configured) if configured else airflow_home(settings) / "logs"


def airflow_environment(settings: Settings) -> dict[str, str]:
    """Return the complete environment of an Airflow process, keys included.

    It consists of this process's environment and the service's options for Airflow. An
    ``AIRFLOW__*`` variable that is already set (also as ``..._CMD`` or ``..._SECRET``) takes
    precedence over an option of the service. The settings are passed as ``TUMORML_*``, so that
    tasks have the settings of their parent, whatever their source (for instance a `.env` file).
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("AIRFLOW__CORE__UNIT_TEST_MODE", "AIRFLOW_CONFIG")
    }
    for name, value in (_airflow_options(settings) | _keys(settings, environment)).items():
        if not _is_set(name, environment):
            environment[name] = value
    environment |= _tumorml_variables(settings)
    environment |= {
        "AIRFLOW_HOME": str(airflow_home(settings)),
        "GX_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "SCARF_ANALYTICS": "false",
        "PYTHONUNBUFFERED": "1",
    }
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Tasks must reach the API server on this machine without a proxy. Some libraries read NO_PROXY,
    # others no_proxy.
    names = ("NO_PROXY", "no_proxy")
    hosts = ",".join([*filter(None, map(environment.get, names)), _LOOPBACK])
    environment |= dict.fromkeys(names, ",".join(dict.fromkeys(hosts.split(","))))
    return environment


def airflow_database_url(settings: Settings) -> str:
    """Return the SQLAlchemy URL of Airflow's metadata database.

    It is the user's own database if the Airflow variable is set, else a database on the local
    Postgres. Airflow derives its asyncpg URL from this URL by replacing the driver's name, so the
    URL has the socket in its query part, which both drivers accept.
    """
    own_url = os.environ.get(DATABASE_VARIABLE)
    if own_url:
        return own_url
    from tumorml.results.local_postgres import OWNER, database_url

    return database_url(settings, database=AIRFLOW_DATABASE, role=OWNER)


def needs_local_postgres(settings: Settings) -> bool:
    """Return True if the results store or Airflow's database uses the Postgres under `home`."""
    return settings.database_url is None or not _is_set(DATABASE_VARIABLE, os.environ)


def _is_set(name: str, environment: Mapping[str, str]) -> bool:
    return any(name + suffix in environment for suffix in ("", "_CMD", "_SECRET"))


def _tumorml_variables(settings: Settings) -> dict[str, str]:
    values = settings.model_dump(mode="json", include=settings.model_fields_set | {"home"})
    return {
        f"TUMORML_{name.upper()}": str(value) for name, value in values.items() if value is not None
    }


def _keys(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets that all processes share, from `home`; empty if all of them are set."""
    names = {
        "fernet_key": "AIRFLOW__CORE__FERNET_KEY",
        "jwt_secret": "AIRFLOW__API_AUTH__JWT_SECRET",
        "api_secret_key": "AIRFLOW__API__SECRET_KEY",
    }
    if all(_is_set(name, environment) for name in names.values()):
        return {}
    keys = load_or_create_secrets(airflow_home(settings))
    return {name: getattr(keys, key) for key, name in names.items()}


def _airflow_options(settings: Settings) -> dict[str, str]:
    home = airflow_home(settings)
    url = settings.airflow_url
    options: dict[str, dict[str, object]] = {
        "core": {
            "executor": "LocalExecutor",
            "dags_folder": PROJECT_ROOT / "dags",
            "plugins_folder": home / "plugins",
            "load_examples": False,
            "dags_are_paused_at_creation": False,
            # Number of worker processes of LocalExecutor; the pool `gpu` limits training.
            "parallelism": max(4, min(16, os.cpu_count() or 4)),
            "execution_api_server_url": f"{url}/execution/",
            "simple_auth_manager_users": f"{ADMIN_USER}:admin",
            "simple_auth_manager_passwords_file": passwords_path(home),
            "min_serialized_dag_update_interval": 10,
        },
        "database": {"sql_alchemy_conn": airflow_database_url(settings)},
        "api": {
            "host": "127.0.0.1",
            "port": settings.airflow_port,
            "base_url": url,
            "workers": 1,
            "expose_config": False,
            "instance_name": "tumorml",
        },
        # With these values a task killed by SIGKILL is detected within about a minute (heartbeat
        # timeout), and so are the tasks of a killed scheduler (orphan check).
        "scheduler": {
            "task_instance_heartbeat_timeout": 50,
            "task_instance_heartbeat_timeout_detection_interval": 10,
            "scheduler_health_check_threshold": 30,
            "orphaned_tasks_check_interval": 20,
            "task_queued_timeout_check_interval": 30,
            "parsing_cleanup_interval": 60,
            "scheduler_idle_sleep_time": 1,
        },
        "triggerer": {"triggerer_health_check_threshold": 20},
        # A task continues if the API server is away for up to about 40 seconds, as during a
        # restart. Otherwise hours of training would be lost.
        "workers": {
            "max_failed_heartbeats": 12,
            "execution_api_retries": 12,
            "execution_api_retry_wait_max": 10,
            "execution_api_timeout": 30,
        },
        # The scheduler retries for minutes while the broker is down, one second per attempt. With
        # Celery's defaults it would fail the task within a second, at the cost of one of its tries.
        "celery": {
            "operation_timeout": 1.0,
            "task_publish_max_retries": 300,
            "extra_celery_config": json.dumps({"task_publish_retry_policy": _BROKER_RETRY_POLICY}),
        },
        "dag_processor": {
            "min_file_process_interval": 60,
            "refresh_interval": 60,
            "parsing_processes": 1,
        },
        "logging": {
            "base_log_folder": home / "logs",
            "dag_processor_child_process_log_directory": home / "logs" / "dag_processor",
            "colored_console_log": False,
            "namespace_levels": "http.access=WARNING great_expectations=WARNING",
        },
    }
    return {
        f"AIRFLOW__{section.upper()}__{option.upper()}": str(value)
        for section, values in options.items()
        for option, value in values.items()
    }
