"""``POST /predict``: the response is the champion's prediction, and each prediction is a row."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import text
from starlette.testclient import TestClient

from tests.factories.champions import SIDE, BuiltModel, noise_scans, store_scans
from tests.factories.predictions import image_fields, one_image, prediction_history
from tests.factories.rows import verdict_row
from tests.factories.running_api import api_client
from tumorml.datasets.resize import fit_to_square
from tumorml.labels import LABELS, Task
from tumorml.models import reference
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import SnapshotScan
from tumorml.scans.images.decode import scan_id
from tumorml.settings import Settings


def test_response_is_the_models_prediction_and_a_row(
    client: TestClient, champion: str, model: BuiltModel, settings: Settings
) -> None:
    scans = noise_scans(5, seed=4)
    response = client.post("/predict", files=image_fields(*scans))
    assert response.status_code == 200, response.text
    content = response.json()
    assert (content["task"], content["model_version"]) == ("four_class", champion)
    expected = model.predictor.predict(np.stack([fit_to_square(one, SIDE) for one in scans]))
    assert np.ptp(expected, axis=0).max() > 0.01
    rows = {row["scan"]: row for row in prediction_history(settings)}
    assert len(rows) == 5
    for pixels, probabilities, answer in zip(scans, expected, content["answers"], strict=True):
        assert answer["scan"] == scan_id(pixels)
        labels = LABELS[Task.FOUR_CLASS]
        assert answer["label"] == labels[probabilities.argmax()]
        np.testing.assert_allclose(
            [answer["probabilities"][label] for label in labels], probabilities, atol=1e-4
        )
        assert answer["label"] in answer["possible_labels"]
        assert len(answer["similar"]) == 6
        assert answer["heatmap"] is None
        no_tumor = answer["probabilities"]["no_tumor"]
        assert answer["binary"]["tumor_probability"] == pytest.approx(1 - no_tumor)
        row = rows[answer["scan"]]
        assert (row["model_version"], row["source"]) == (champion, "api")
        assert row["predicted_label"] == answer["label"]
        assert row["possible_labels"] == answer["possible_labels"]
        assert row["caller"] == "anybody on this machine"
        assert (row["distance"], row["unlike"]) == (answer["distance"], answer["unlike_training"])


def test_response_names_the_split_of_a_scan_in_the_training_data(
    client: TestClient, settings: Settings
) -> None:
    trained, new = noise_scans(2, seed=5)
    (trained_id,) = store_scans(settings, trained)
    with write_session(settings) as session:
        session.add(
            SnapshotScan(
                snapshot_id="s", scan_id=trained_id, split="train", label="glioma", group_id="g"
            )
        )
    response = client.post("/predict", files=image_fields(trained, new, trained))
    assert [answer["split"] for answer in response.json()["answers"]] == ["train", None, "train"]


def test_prediction_leads_to_the_verdict_that_promoted_its_model(
    client: TestClient, champion: str, settings: Settings
) -> None:
    with write_session(settings) as session:
        session.add(verdict_row("v", f"r-{champion}", "four_class", champion, outcome="promoted"))
    client.post("/predict", files=one_image()).raise_for_status()
    with read_session(settings) as session:
        verdicts = session.scalars(text("select verdicts from prediction_provenance")).one()
    assert verdicts == ["v"]


def test_jpeg_is_decoded_as_at_ingest(client: TestClient) -> None:
    file = io.BytesIO()
    Image.fromarray(noise_scans(1)[0]).convert("RGB").save(file, "JPEG")
    response = client.post("/predict", files={"images": ("a.jpg", file.getvalue())})
    pixels = np.asarray(Image.open(file).convert("L"))
    assert response.json()["answers"][0]["scan"] == scan_id(pixels)


def test_same_image_twice_gives_two_rows_and_one_heatmap(
    client: TestClient, settings: Settings
) -> None:
    images = image_fields(*noise_scans(1), *noise_scans(1))
    answers = client.post("/predict?heatmap=link", files=images).json()["answers"]
    assert answers[0]["heatmap"] == answers[1]["heatmap"]
    assert len(prediction_history(settings)) == 2


def test_missing_possible_labels_are_null_in_sql(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "MIN_VALIDATION_SCANS", 10_000)
    client.post("/predict", files=image_fields(*noise_scans(2))).raise_for_status()
    with read_session(settings) as session:
        nulls = "select count(*) from prediction where possible_labels is null"
        assert session.scalar(text(nulls)) == 2


def test_server_without_a_champion_responds_404(settings: Settings) -> None:
    with api_client(settings) as client:
        assert client.get("/health").status_code == 503
        response = client.post("/predict", files=one_image())
        assert response.status_code == 404
        assert "There is no champion yet" in response.json()["detail"]
