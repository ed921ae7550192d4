"""A real Postgres for the whole test run, and a fresh, migrated home for each test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.factories.postgres import TEMPLATE, new_database, shared_postgres
from tests.factories.s3_server import CREDENTIALS, S3Server
from tumorml.results.local_postgres import OWNER, READER, WRITER, database_url
from tumorml.settings import Settings


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A running Postgres that holds a migrated template database, one for all xdist workers."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # that of the whole run
    with shared_postgres(folder) as server:
        yield server


@pytest.fixture
def empty_database(postgres: Settings) -> Iterator[Settings]:
    """Settings whose results store is an empty database, asked as the owner of its tables."""
    with new_database(postgres) as name:
        yield postgres.model_copy(update={"database_url": database_url(postgres, name, OWNER)})


@contextmanager
def migrated_home(postgres: Settings, home: Path) -> Iterator[Settings]:
    """Settings with a home and a copy of the migrated template database."""
    with new_database(postgres, TEMPLATE) as name:
        yield Settings(
            home=home,
            database_url=database_url(postgres, name, WRITER),
            reader_database_url=database_url(postgres, name, READER),
            settle_seconds=0,
        )


@pytest.fixture
def settings(postgres: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Settings with a home and a migrated results store that no other test uses."""
    with migrated_home(postgres, tmp_path / "home") as settings:
        yield settings


@pytest.fixture(scope="module")
def module_settings(
    postgres: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """Settings with a home and a migrated results store that all tests of a module share."""
    with migrated_home(postgres, tmp_path_factory.mktemp("home")) as settings:
        yield settings


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
    """The same as ``settings``, with an object store in a bucket that no other test uses."""
    return s3_server.settings(settings, uuid.uuid4().hex)
