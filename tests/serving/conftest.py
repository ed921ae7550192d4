"""A server with a champion."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.serving.made_champions import Made, crown, make_model
from tumorml.serving.api.app import create_app
from tumorml.settings import Settings


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_model(tmp_path_factory.mktemp("served"), seed=1)


@pytest.fixture(scope="session")
def made_later(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_model(tmp_path_factory.mktemp("served-later"), seed=2)


@pytest.fixture
def champion(settings: Settings, made: Made) -> str:
    return crown(settings, made)


@pytest.fixture
def client(settings: Settings, champion: str) -> Iterator[TestClient]:
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        yield client
