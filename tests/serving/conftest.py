"""Two models that the whole test run shares, champions made of them, and a client of the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from starlette.testclient import TestClient

from tests.factories.champions import BuiltModel, make_champion, shared_model
from tests.factories.running_api import api_client
from tumorml.serving.live_champions import LiveChampion, load_live_champion
from tumorml.settings import Settings


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> BuiltModel:
    return shared_model(tmp_path_factory, seed=1)


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> BuiltModel:
    return shared_model(tmp_path_factory, seed=2)


@pytest.fixture
def champion(settings: Settings, model: BuiltModel) -> str:
    """Id of the model version that is made champion from ``model``."""
    return make_champion(settings, model)


@pytest.fixture
def live_champions(
    settings: Settings, model: BuiltModel, other_model: BuiltModel
) -> tuple[LiveChampion, LiveChampion]:
    """The loaded model versions of ``model`` and of ``other_model``."""
    first, second = (
        load_live_champion(settings, make_champion(settings, built), datetime.now(UTC))
        for built in (model, other_model)
    )
    return first, second


@pytest.fixture
def client(settings: Settings, champion: str) -> Iterator[TestClient]:
    """A client of an API that serves ``champion``."""
    with api_client(settings) as client:
        yield client
