"""The two databases of the service: made on the local Postgres, brought to the newest schema."""

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
from tumorml.service.local.child_processes import (
    ChildCommand,
    kill_family,
    last_lines,
    record_of,
    start_child,
)
from tumorml.settings import Settings

RESULTS_DATABASE = "tumorml"


def create_databases(settings: Settings) -> None:
    """Make the databases that the local Postgres lacks."""
    from tumorml.results.server import create_database

    for name in (RESULTS_DATABASE, AIRFLOW_DATABASE):
        create_database(settings, name)


def migrate_databases(
    settings: Settings, environment: Mapping[str, str], pause: Callable[[float], None]
) -> None:
    """Bring both databases to the newest schema, the two at the same time.

    Args:
        settings: Say where they are.
        environment: That of Airflow's processes.
        pause: Waits for so many seconds; may raise to stop.

    Raises:
        TumorMLError: Airflow's migration failed; the message has the log's end and its path.
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
    record = record_of(command.name, process.pid)
    try:
        migrate(settings)
        while process.poll() is None:
            pause(0.2)
    finally:
        if process.poll() is None:
            kill_family(record, process)
    if process.returncode != 0:
        raise TumorMLError(
            f"Airflow's database could not be brought to its newest schema. The log's end:\n"
            f"{last_lines(log_path)}\nThe whole log: {log_path}"
        )
    _stamp_path(settings).write_text(_stamp(settings))


def _is_migrated(settings: Settings) -> bool:
    """Whether this very Airflow has already migrated the database as it stands; saves seconds."""
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
    """Start the local Postgres again if it does not run; returns whether it had to be."""
    from tumorml.results.local_postgres import OWNER, database_url

    try:
        database_url(settings, role=OWNER)
    except TumorMLError:
        # In a fresh process: this one's handle still believes in the server that is gone.
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
                f"Postgres ended and does not start again: {result.stderr.strip()[-2000:]}"
            ) from None
        return True
    return False
