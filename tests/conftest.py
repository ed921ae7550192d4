"""A real Postgres for the whole test session, and a fresh, migrated home for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.factories.s3_server import CREDENTIALS, S3Server
from tumorml.results.local_postgres import (
    OWNER,
    READER,
    WRITER,
    database_url,
    start_local_postgres,
    stop_local_postgres,
)
from tumorml.results.migrate import migrate
from tumorml.settings import Settings

TEMPLATE = "tumorml_template"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Settings]:
    """A running Postgres that holds a migrated template database."""
    # Not below pytest's own folder: it is closed to the user that Postgres runs as under root.
    server = Settings(home=Path(tempfile.mkdtemp(prefix="tumorml-tests-")))
    start_local_postgres(server.home)
    run_as_owner(server, f"create database {TEMPLATE}")
    migrate(server.model_copy(update={"database_url": database_url(server, TEMPLATE, OWNER)}))
    yield server
    stop_local_postgres(server.home)
    shutil.rmtree(server.home)


@pytest.fixture
def settings(postgres: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Settings with a home and a migrated results store that no other test sees."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    run_as_owner(postgres, f"create database {name} template {TEMPLATE}")
    yield Settings(
        home=tmp_path / "home",
        database_url=database_url(postgres, name, WRITER),
        reader_database_url=database_url(postgres, name, READER),
        settle_seconds=0,
    )
    run_as_owner(postgres, f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A running S3 server; its credentials are in the environment from then on."""
    os.environ.update(CREDENTIALS)
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def s3_settings(settings: Settings, s3_server: S3Server) -> Settings:
    """The same as ``settings`` with an object store in a bucket that no other test sees."""
    return s3_server.settings(settings, uuid.uuid4().hex)


def run_as_owner(server: Settings, statement: str) -> None:
    """Run one statement outside a transaction as the owner of the cluster."""
    engine = create_engine(
        database_url(server, "postgres", OWNER), isolation_level="AUTOCOMMIT", pool_pre_ping=True
    )
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
