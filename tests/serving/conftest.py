"""A server with a champion, and two champions as it holds them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from starlette.testclient import TestClient

from tests.factories.champions import Made, crown, make_model
from tumorml.serving.api.app import create_app
from tumorml.serving.live_champions import Live, load_live
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
def lives(settings: Settings, made: Made, made_later: Made) -> tuple[Live, Live]:
    """Of ``made`` and of ``made_later``."""
    one, later = (
        load_live(settings, crown(settings, model), datetime.now(UTC))
        for model in (made, made_later)
    )
    return one, later


@pytest.fixture
def client(settings: Settings, champion: str) -> Iterator[TestClient]:
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        yield client
