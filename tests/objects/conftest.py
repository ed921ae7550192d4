"""Buckets and servers for the tests of S3 stores."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.factories.s3_server import S3Server
from tumorml.objects import s3_bucket
from tumorml.settings import Settings


@pytest.fixture
def bucket(s3_server: S3Server, tmp_path: Path) -> Settings:
    return s3_server.settings(Settings(home=tmp_path / "home"), uuid.uuid4().hex)


@pytest.fixture
def own_server(s3_server: S3Server, tmp_path: Path) -> Iterator[S3Server]:
    """A server that tests may kill, with the credentials of the shared server."""
    server = S3Server(tmp_path / "own")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def fresh_clients() -> Iterator[None]:
    """Clear the cached clients before and after the test, so that credentials are read again."""
    s3_bucket.connection.cache_clear()
    yield
    s3_bucket.connection.cache_clear()
