"""A results store that all tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.factories.postgres import TEMPLATE, new_database
from tumorml.results.local_postgres import READER, WRITER, database_url
from tumorml.settings import Settings


@pytest.fixture(scope="module")
def module_settings(
    postgres: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """Settings with a home and a migrated results store of one test module, which only reads."""
    with new_database(postgres, TEMPLATE) as name:
        yield Settings(
            home=tmp_path_factory.mktemp("home"),
            database_url=database_url(postgres, name, WRITER),
            reader_database_url=database_url(postgres, name, READER),
            settle_seconds=0,
        )
