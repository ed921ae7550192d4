"""The OpenAPI document says what the server does, and nothing that it allows breaks the server."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck
from hypothesis import settings as examples

from tests.factories.running_api import running_api
from tumorml.serving.api.api_keys import add_key
from tumorml.serving.api.app import create_app
from tumorml.settings import Settings


@pytest.fixture
def address(settings: Settings, champion: str) -> Iterator[str]:
    with running_api(settings) as found:
        yield f"http://127.0.0.1:{found.api_port}"


@pytest.fixture
def key(settings: Settings, address: str) -> str:
    return add_key(settings, "everybody", "writer")


schema = schemathesis.openapi.from_dict(create_app(Settings()).openapi())


@schema.parametrize()
@examples(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_server_keeps_to_its_document(case: schemathesis.Case, address: str, key: str) -> None:
    # What no schema can say, that `after` is a cursor of ours and a body an image, is refused too.
    beyond = [schemathesis.checks.positive_data_acceptance]
    case.call_and_validate(base_url=address, headers={"X-API-Key": key}, excluded_checks=beyond)


def test_every_error_of_the_document_is_a_problem(address: str) -> None:
    document = httpx.get(f"{address}/openapi.json").json()
    assert "Problem" in document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                if status >= "400" and not path.startswith("/health"):
                    assert "application/problem+json" in response["content"], (path, method)
    assert "images" in str(document["paths"]["/predict"]["post"]["requestBody"])
