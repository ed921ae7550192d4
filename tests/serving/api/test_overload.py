"""Overload and hanging stores: requests get a 503 in time, and the server keeps running."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from tests.factories.champions import noise_scans
from tests.factories.predictions import one_image, prediction_history
from tests.factories.running_api import api_client, running_api, wait_until
from tumorml.results.session import write_session
from tumorml.serving.api import api_keys, app, predict
from tumorml.serving.api.uploads import decode_uploads
from tumorml.settings import Settings

pytestmark = pytest.mark.usefixtures("champion")


def test_requests_above_the_limit_get_503_with_retry_after(settings: Settings) -> None:
    narrow = settings.model_copy(update={"api_queue": 2})
    with running_api(narrow) as served, write_session(settings) as blocking:
        # The lock keeps predictions from being recorded, so the admitted requests stay active.
        blocking.execute(text("lock table prediction in access exclusive mode"))

        def post(_: int) -> httpx.Response:
            return httpx.post(f"{served.api_url}/predict", files=one_image(), timeout=60)

        with ThreadPoolExecutor(5) as threads:
            responses = [threads.submit(post, n) for n in range(5)]
            refused = [one.result() for one in islice(as_completed(responses), 3)]
            assert {one.status_code for one in refused} == {503}
            assert {one.headers["Retry-After"] for one in refused} == {"1"}
            metrics = httpx.get(f"{served.api_url}/metrics").text
            assert "tumorml_waiting_requests 2.0" in metrics
            blocking.rollback()
            assert {one.result().status_code for one in responses} == {200, 503}
    assert len(prediction_history(settings)) == 2


def test_hanging_results_store_gives_503_and_the_server_recovers(
    settings: Settings, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "PREDICT_TIMEOUT_SECONDS", 2.0)
    with write_session(settings) as blocking:
        blocking.execute(text("lock table prediction in access exclusive mode"))
        response = client.post("/predict", files=one_image())
        assert response.status_code == 503
        assert "more than 2 s" in response.json()["detail"]
        assert client.get("/health/ready").status_code == 200
    assert client.post("/predict", files=one_image()).status_code == 200


def test_hanging_results_store_gives_503_to_readers(
    settings: Settings, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "READ_TIMEOUT_SECONDS", 1.0)
    with write_session(settings) as blocking:
        blocking.execute(text("lock table prediction, model_version in access exclusive mode"))
        for path in ("/predictions", "/models"):
            response = client.get(path)
            assert response.status_code == 503
            assert response.headers["Retry-After"] == "5"
            assert "did not respond within 1 s" in response.json()["detail"]
    assert client.get("/predictions").status_code == 200


def test_outdated_api_keys_give_503_until_they_can_be_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "_STALE_SECONDS", 5.0)
    with api_client(settings) as client:
        assert client.get("/champion").status_code == 200
        with write_session(settings) as blocking:
            blocking.execute(text("lock table api_key in access exclusive mode"))
            wait_until(lambda: client.get("/champion").status_code == 503)
            for path in ("/champion", "/predictions", "/metrics"):
                response = client.get(path)
                assert response.status_code == 503
                assert "API keys cannot be checked" in response.json()["detail"]
            assert client.post("/predict", files=one_image()).status_code == 503
        wait_until(lambda: client.get("/champion").status_code == 200)


def test_timed_out_request_keeps_its_pixels_until_decoded(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding, most_decoding = 0, 0

    def decode_slowly(*args: Any, **options: Any) -> Any:
        nonlocal decoding, most_decoding
        decoding += 1
        most_decoding = max(most_decoding, decoding)
        time.sleep(1.0)
        decoding -= 1
        return decode_uploads(*args, **options)

    monkeypatch.setattr(predict, "PREDICT_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(predict, "decode_uploads", decode_slowly)
    room_for_one = settings.model_copy(update={"max_scan_pixels": noise_scans(1)[0].size})
    with running_api(room_for_one) as served, ThreadPoolExecutor(3) as threads:

        def post(_: int) -> int:
            url = f"{served.api_url}/predict"
            return httpx.post(url, files=one_image(), timeout=60).status_code

        assert set(threads.map(post, range(6))) == {503}
    assert most_decoding == 1
