"""The environment that every Airflow process of the service runs in, here or in a container."""

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
_BROKER_IS_AWAY = {"max_retries": 1000, "interval_step": 0.1, "interval_max": 0.5}


def airflow_home(settings: Settings) -> Path:
    """Airflow's own folder: its keys, its configuration, the logs of tasks."""
    return settings.home / "airflow"


def task_log_folder(settings: Settings) -> Path:
    """Where Airflow writes the logs of tasks."""
    configured = os.environ.get("AIRFLOW__LOGGING__BASE_LOG_FOLDER")
    return Path(configured) if configured else airflow_home(settings) / "logs"


def airflow_environment(settings: Settings) -> dict[str, str]:
    """The whole environment of an Airflow child process, keys included.

    Made of this process's own environment and the service's choices; an ``AIRFLOW__*`` variable
    that is already set (also as ``..._CMD`` or ``..._SECRET``) wins over a choice of the service.
    The settings are handed on as ``TUMORML_*``, so that tasks agree with their parent wherever
    the parent took them from.
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
    # A proxy of the machine must not stand between a task and the API server beside it.
    # Either spelling is read by some library, and the small one wins in others.
    names = ("NO_PROXY", "no_proxy")
    kept = ",".join([*filter(None, map(environment.get, names)), _LOOPBACK])
    environment |= dict.fromkeys(names, ",".join(dict.fromkeys(kept.split(","))))
    return environment


def airflow_database_url(settings: Settings) -> str:
    """SQLAlchemy URL of Airflow's metadata database: the user's own, else on the local Postgres.

    Airflow makes its asyncpg URL of it by changing the driver's name; the socket in the query
    suits both drivers.
    """
    given = os.environ.get(DATABASE_VARIABLE)
    if given:
        return given
    from tumorml.results.local_postgres import OWNER, database_url

    return database_url(settings, database=AIRFLOW_DATABASE, role=OWNER)


def needs_local_postgres(settings: Settings) -> bool:
    """Whether any of the two databases lies in the Postgres under `home`."""
    return settings.database_url is None or not _is_set(DATABASE_VARIABLE, os.environ)


def _is_set(name: str, environment: Mapping[str, str]) -> bool:
    return any(name + suffix in environment for suffix in ("", "_CMD", "_SECRET"))


def _tumorml_variables(settings: Settings) -> dict[str, str]:
    named = settings.model_dump(mode="json", include=settings.model_fields_set | {"home"})
    return {
        f"TUMORML_{name.upper()}": str(value) for name, value in named.items() if value is not None
    }


def _keys(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """What all processes must share; made and kept under `home` unless all of it is given."""
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
            # LocalExecutor forks this many workers at once; training itself is held by a pool.
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
        # A task killed with kill -9 is noticed after its heartbeat timeout, a killed scheduler's
        # tasks when the next one finds its job stale: each within about a minute.
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
        # Tasks wait for an API server that is being started again, for about 40 seconds, instead
        # of failing: that must not cost an hour of training.
        "workers": {
            "max_failed_heartbeats": 12,
            "execution_api_retries": 12,
            "execution_api_retry_wait_max": 10,
            "execution_api_timeout": 30,
        },
        # A task for which there is no broker waits for one, for minutes, at a second a try; Celery
        # would give up within that second, and a try of the task's own would be lost.
        "celery": {
            "operation_timeout": 1.0,
            "task_publish_max_retries": 300,
            "extra_celery_config": json.dumps({"task_publish_retry_policy": _BROKER_IS_AWAY}),
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
