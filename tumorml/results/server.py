"""Run the local Postgres for the duration of a command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, text

from tumorml.results.local_postgres import (
    OWNER,
    database_url,
    is_running,
    start_local_postgres,
    stop_local_postgres,
)
from tumorml.results.session import dispose_engines
from tumorml.settings import Settings


@contextmanager
def results_store(settings: Settings) -> Iterator[bool]:
    """Start the local Postgres for the block, unless it runs or another database is configured.

    After the block it is stopped, unless another process uses it. A process that exits without
    leaving the block calls `stop_started_postgres`.

    Yields:
        Whether this call started it. The schema may then be missing or old.
    """
    started = settings.database_url is None and not is_running(settings.home)
    if started:
        # Identifies connections that this process left open; see _is_used_by_others.
        os.environ["PGAPPNAME"] = f"tumorml {os.getpid()}"
        start_local_postgres(settings.home)
        _started.append(settings)
        create_database(settings, "tumorml")
    try:
        yield started
    finally:
        if started:
            _stop(settings)


_started: list[Settings] = []


def stop_started_postgres() -> None:
    """Stop the Postgres that this process has started, unless other processes use it."""
    while _started:
        _stop(_started[-1])


def _stop(settings: Settings) -> None:
    _started.remove(settings)
    if not _is_used_by_others(settings):
        stop_local_postgres(settings.home)


def create_database(settings: Settings, name: str) -> None:
    """Create a database on the local Postgres if there is none of that name."""
    url = database_url(settings, "postgres", OWNER)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            existing = text("select from pg_database where datname = :name")
            if connection.execute(existing, {"name": name}).first() is None:
                connection.execute(text(f'create database "{name}"'))
    finally:
        engine.dispose()


def _is_used_by_others(settings: Settings) -> bool:
    dispose_engines()
    engine = create_engine(database_url(settings, "postgres", OWNER))
    connections_of_others = (
        "select from pg_stat_activity "
        "where backend_type = 'client backend' and pid <> pg_backend_pid() "
        "and application_name <> current_setting('application_name')"
    )
    try:
        with engine.connect() as connection:
            return connection.execute(text(connections_of_others)).first() is not None
    finally:
        engine.dispose()
