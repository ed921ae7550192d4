"""A results store that answers, for as long as it is needed."""

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
    """Start the local Postgres where none is configured and none runs, and stop it again.

    It is left running where somebody else has begun to use it meanwhile. A process that ends
    without leaving the block calls `stop_what_was_started`.

    Yields:
        Whether it was started here; then its schema may be behind, or missing.
    """
    started = settings.database_url is None and not is_running(settings.home)
    if started:
        # So that connections which an interruption left open are known as our own.
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


def stop_what_was_started() -> None:
    """Stop the Postgres that this process has started, unless others use it."""
    while _started:
        _stop(_started[-1])


def _stop(settings: Settings) -> None:
    _started.remove(settings)
    if not _others_use_it(settings):
        stop_local_postgres(settings.home)


def create_database(settings: Settings, name: str) -> None:
    """Create a database on the local Postgres where there is none of that name."""
    url = database_url(settings, "postgres", OWNER)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            known = text("select from pg_database where datname = :name")
            if connection.execute(known, {"name": name}).first() is None:
                connection.execute(text(f'create database "{name}"'))
    finally:
        engine.dispose()


def _others_use_it(settings: Settings) -> bool:
    dispose_engines()
    engine = create_engine(database_url(settings, "postgres", OWNER))
    others = (
        "select from pg_stat_activity "
        "where backend_type = 'client backend' and pid <> pg_backend_pid() "
        "and application_name <> current_setting('application_name')"
    )
    try:
        with engine.connect() as connection:
            return connection.execute(text(others)).first() is not None
    finally:
        engine.dispose()
