"""One Postgres with a migrated template database, shared by all workers of a test run."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import create_engine, text

from tumorml.results.local_postgres import (
    OWNER,
    database_url,
    start_local_postgres,
    stop_local_postgres,
)
from tumorml.results.migrate import migrate
from tumorml.settings import Settings

TEMPLATE = "tumorml_template"
NOT_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
"""Postgres settings that protect data from a power loss, and cost the tests most of their time."""


@contextmanager
def shared_postgres(run_folder: Path) -> Iterator[Settings]:
    """Join the Postgres of a test run, or start it; the last process to leave stops it.

    Args:
        run_folder: A folder that the processes of this test run share, and no other run.

    Yields:
        Settings whose home holds the Postgres.
    """
    state_file = run_folder / "postgres.json"
    with _locked(run_folder):
        state = _read(state_file)
        if not state["processes"]:
            state["home"] = str(_start())
        _write(state_file, state["home"], [*state["processes"], os.getpid()])
    home = Path(state["home"])
    try:
        yield Settings(home=home)
    finally:
        with _locked(run_folder):
            others = [pid for pid in _read(state_file)["processes"] if pid != os.getpid()]
            _write(state_file, str(home), others)
            if not others:
                stop_local_postgres(home)
                shutil.rmtree(home)


@contextmanager
def new_database(server: Settings, template: str | None = None) -> Iterator[str]:
    """Create a database, empty or a copy of a template, and drop it afterwards; yields its name."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    copied = f" template {template} strategy file_copy" if template else ""
    run_as_owner(server, f"create database {name}{copied}")
    try:
        yield name
    finally:
        run_as_owner(server, f"drop database {name} with (force)")


def run_as_owner(server: Settings, statement: str) -> None:
    """Run one statement outside a transaction as the owner of the cluster."""
    engine = create_engine(
        database_url(server, "postgres", OWNER), isolation_level="AUTOCOMMIT", pool_pre_ping=True
    )
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def _start() -> Path:
    # Pytest's own folders are closed to the user that Postgres runs as under root.
    server = Settings(home=Path(tempfile.mkdtemp(prefix="tumorml-tests-")))
    start_local_postgres(server.home)
    for setting in NOT_DURABLE:
        run_as_owner(server, f"alter system set {setting} = off")
    run_as_owner(server, "select pg_reload_conf()")
    run_as_owner(server, f"create database {TEMPLATE}")
    migrate(server.model_copy(update={"database_url": database_url(server, TEMPLATE, OWNER)}))
    return server.home


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"home": "", "processes": []}
    state: dict[str, Any] = json.loads(path.read_text())
    # A killed worker does not sign off.
    state["processes"] = [pid for pid in state["processes"] if psutil.pid_exists(pid)]
    return state


def _write(path: Path, home: str, processes: list[int]) -> None:
    path.write_text(json.dumps({"home": home, "processes": processes}))
