"""API keys and roles, and the protection of an API without keys."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from tests.factories.predictions import one_image, prediction_history
from tests.factories.running_api import api_client, wait_until
from tumorml.errors import TumorMLError
from tumorml.results.session import read_session
from tumorml.serving.api.api_keys import ApiKeyCache, add_key, require_safe_address, revoke_key
from tumorml.settings import Settings


def test_key_and_role_decide_what_a_caller_may_do(client: TestClient, settings: Settings) -> None:
    writer, reader = (add_key(settings, f"a-{role}", role) for role in ("writer", "reader"))
    wait_until(lambda: client.get("/champion").status_code == 401)
    wait_until(lambda: client.get("/champion", headers={"X-API-Key": reader}).is_success)
    for key, predict_status, read_status in (
        (None, 401, 401),
        ("wrong", 401, 401),
        (reader, 403, 200),
        (writer, 200, 200),
    ):
        headers = {} if key is None else {"X-API-Key": key}
        response = client.post("/predict", files=one_image(), headers=headers)
        assert response.status_code == predict_status
        for path in ("/predictions", "/champion", "/models", "/metrics"):
            assert client.get(path, headers=headers).status_code == read_status
        missing = client.get("/heatmaps/missing.png", headers=headers).status_code
        assert missing == (404 if read_status == 200 else read_status)
        assert client.get("/health/live", headers=headers).status_code == 200
    assert prediction_history(settings)[0]["caller"] == "a-writer"
    with read_session(settings) as session:
        stored = str(session.execute(text("select * from api_key")).all())
    assert writer not in stored
    revoke_key(settings, "a-writer")
    headers = {"X-API-Key": writer}
    wait_until(lambda: client.get("/champion", headers=headers).status_code == 401)
    assert client.post("/predict", files=one_image(), headers=headers).status_code == 401


@pytest.mark.usefixtures("champion")
def test_api_stays_closed_after_its_last_key_is_revoked(settings: Settings) -> None:
    key = add_key(settings, "only", "writer")
    revoke_key(settings, "only")
    with api_client(settings) as client:
        for headers in ({}, {"X-API-Key": key}):
            response = client.post("/predict", files=one_image(), headers=headers)
            assert response.status_code == 401


def test_public_bind_address_needs_an_active_key(settings: Settings) -> None:
    public = settings.model_copy(update={"api_host": "0.0.0.0"})
    for prepare in (lambda: None, lambda: add_revoked_key(settings)):
        prepare()
        with pytest.raises(TumorMLError, match="tumorml key add"):
            require_safe_address(public)
    add_key(settings, "another", "writer")
    require_safe_address(public)


def add_revoked_key(settings: Settings) -> None:
    add_key(settings, "revoked", "writer")
    revoke_key(settings, "revoked")


def test_invalid_api_keys_setting_is_not_repeated_in_the_error(settings: Settings) -> None:
    key = add_key(settings, "ann", "reader")
    wrong = settings.model_copy(update={"api_keys": f"bob:reader:{'0' * 64},{key}"})
    for start in (lambda: require_safe_address(wrong), ApiKeyCache(wrong).start):
        with pytest.raises(TumorMLError, match="entry 2 is not name:role:sha256") as raised:
            start()
        assert key not in str(raised.value)


def test_key_errors_name_the_role_the_name_and_the_key(settings: Settings) -> None:
    with pytest.raises(TumorMLError, match="Unknown role 'admin'; use one of: reader, writer"):
        add_key(settings, "ann", "admin")
    with pytest.raises(TumorMLError, match="Invalid key name '-ann'"):
        add_key(settings, "-ann", "reader")
    add_key(settings, "ann", "reader")
    with pytest.raises(TumorMLError, match="'ann' exists already"):
        add_key(settings, "ann", "writer")
    with pytest.raises(TumorMLError, match="no active key 'bob'"):
        revoke_key(settings, "bob")


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"host": "["},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_cross_site_request_without_keys_gets_403(
    headers: dict[str, str], client: TestClient, settings: Settings
) -> None:
    assert client.post("/predict", files=one_image(), headers=headers).status_code == 403
    assert client.get("/champion", headers=headers).status_code == 403
    assert prediction_history(settings) == []


def test_same_origin_request_without_keys_is_allowed(client: TestClient) -> None:
    headers = {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin"}
    assert client.post("/predict", files=one_image(), headers=headers).status_code == 200
