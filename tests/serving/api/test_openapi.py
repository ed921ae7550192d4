"""The OpenAPI document is complete: generated requests get only documented responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.factories.champions import BuiltModel, make_champion
from tests.factories.running_api import running_api, wait_until
from tumorml.serving.api.api_keys import add_key
from tumorml.settings import Settings

OPERATIONS = [
    ("POST", "/predict"),
    ("GET", "/predictions"),
    ("GET", "/heatmaps/{key}"),
    ("GET", "/champion"),
    ("GET", "/models"),
    ("GET", "/health"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/metrics"),
]


@pytest.fixture(scope="module")
def api(module_settings: Settings, model: BuiltModel) -> Iterator[tuple[str, str]]:
    """URL of a running API that all tests of this module share, and a writer's key."""
    make_champion(module_settings, model)
    key = add_key(module_settings, "everybody", "writer")
    with running_api(module_settings) as served:
        headers = {"X-API-Key": key}
        wait_until(lambda: httpx.get(f"{served.api_url}/champion", headers=headers).is_success)
        yield served.api_url, key


@pytest.fixture(scope="module")
def document(api: tuple[str, str]) -> dict[str, Any]:
    return dict(httpx.get(f"{api[0]}/openapi.json").json())


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_server_keeps_to_its_document(
    method: str, path: str, api: tuple[str, str], document: dict[str, Any]
) -> None:
    import schemathesis
    from hypothesis import HealthCheck, given
    from hypothesis import settings as examples

    url, key = api
    operation = schemathesis.openapi.from_dict(document)[path][method]
    # A schema cannot state that `after` is a cursor or that a body holds an image, so valid data
    # may be refused too.
    excluded = [schemathesis.checks.positive_data_acceptance]

    @given(case=operation.as_strategy())
    @examples(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    def check(case: Any) -> None:
        case.call_and_validate(base_url=url, headers={"X-API-Key": key}, excluded_checks=excluded)

    check()


def test_all_operations_are_checked(document: dict[str, Any]) -> None:
    documented = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    assert documented == set(OPERATIONS)


def test_every_documented_error_is_a_problem(document: dict[str, Any]) -> None:
    assert "Problem" in document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                if status >= "400" and not path.startswith("/health"):
                    assert "application/problem+json" in response["content"], (path, method)
    assert "images" in str(document["paths"]["/predict"]["post"]["requestBody"])


def test_document_describes_operations_parameters_and_heatmaps(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"] and operation["description"], (path, method)
            for parameter in operation.get("parameters", ()):
                assert parameter.get("description"), (path, parameter["name"])
    schemas = document["components"]["schemas"]
    assert schemas["Heatmap"]["enum"] == ["none", "link", "inline", "map"]
    assert "heatmap_meaning" in schemas["Answer"]["properties"]
