"""The GET endpoints: prediction history, champions, model versions, health and metrics."""

from __future__ import annotations

import base64

from starlette.testclient import TestClient

from tests.factories.champions import BuiltModel, make_champion, noise_scans
from tests.factories.predictions import image_fields
from tumorml.settings import Settings


def test_pages_of_the_history_hold_every_prediction_once(client: TestClient) -> None:
    for n in range(3):
        images = image_fields(*noise_scans(2, seed=20 + n))
        client.post("/predict", files=images).raise_for_status()
    seen: list[int] = []
    parameters: dict[str, str | int] = {"limit": 4}
    while True:
        page = client.get("/predictions", params=parameters).json()
        seen += [row["prediction"] for row in page["predictions"]]
        if page["next"] is None:
            break
        parameters["after"] = page["next"]
    assert len(seen) == len(set(seen)) == 6
    assert seen == sorted(seen, reverse=True)


def test_history_filters_select_matching_rows(client: TestClient) -> None:
    client.post("/predict", files=image_fields(*noise_scans(3, seed=20))).raise_for_status()
    rows = client.get("/predictions").json()["predictions"]
    for field, parameter in (("scan", "scan"), ("predicted_label", "label"), ("unlike", "unlike")):
        value = rows[0][field]
        expected = [row["prediction"] for row in rows if row[field] == value]
        found = client.get("/predictions", params={parameter: value}).json()["predictions"]
        assert [row["prediction"] for row in found] == expected
    assert client.get("/predictions", params={"label": "nothing"}).json()["predictions"] == []
    later = {"since": rows[0]["created_at"].replace("20", "21", 1)}
    assert client.get("/predictions", params=later).json()["predictions"] == []


def test_invalid_history_parameters_get_422(client: TestClient) -> None:
    infinite = base64.b64encode(b'["2026-01-01T00:00:00+00:00", Infinity]').decode()
    for parameters, detail in (
        ({"after": "garbage"}, "invalid cursor"),
        ({"after": infinite}, "invalid cursor"),
        ({"since": "1.5"}, "2026-11-22T09:00:00Z"),
        ({"colour": "red"}, "Unknown query parameter 'colour'"),
        ({"label": "\0"}, "NUL character"),
    ):
        response = client.get("/predictions", params=parameters)
        assert response.status_code == 422
        assert detail in response.json()["detail"]


def test_champion_and_model_version_are_listed(client: TestClient, champion: str) -> None:
    (card,) = client.get("/champion").json()
    assert (card["model_version"], card["answers_here"]) == (champion, True)
    (model_version,) = client.get("/models").json()
    assert model_version["model_version"] == champion
    assert model_version["champion_since"] == card["since"]


def test_former_champion_has_no_champion_since(
    client: TestClient, champion: str, other_model: BuiltModel, settings: Settings
) -> None:
    new = make_champion(settings, other_model)
    since = {row["model_version"]: row["champion_since"] for row in client.get("/models").json()}
    assert since[champion] is None
    assert since[new] is not None


def test_health_and_metrics_name_the_champion(client: TestClient, champion: str) -> None:
    assert client.get("/health").json() == {
        "status": "ok", "answering": {"four_class": champion}, "problems": [],
    }  # fmt: skip
    client.post("/predict", files=image_fields(*noise_scans(3))).raise_for_status()
    metrics = client.get("/metrics").text
    assert f'tumorml_champion{{model_version="{champion}",task="four_class"}} 1.0' in metrics
    assert 'tumorml_requests_total{method="POST",path="/predict",status="200"} 1.0' in metrics
