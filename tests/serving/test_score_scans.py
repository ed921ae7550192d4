"""The step ``score``: unlabeled scans are predicted once each, as the API predicts them."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.factories.champions import GOLDEN_SEED, BuiltModel, noise_scans, store_scans
from tests.factories.predictions import image_fields, prediction_history, select_rows
from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.objects import object_store
from tumorml.objects.keys import scan_key
from tumorml.results.session import write_session
from tumorml.results.tables import ScanLabel
from tumorml.scans.images.decode import encode_png, scan_id
from tumorml.serving import score_scans as scoring
from tumorml.serving.record_predictions import record_predictions
from tumorml.serving.score_scans import score_scans
from tumorml.settings import Settings


def test_score_row_equals_the_row_of_the_api(client: TestClient, settings: Settings) -> None:
    scans = noise_scans(3, seed=6)
    store_scans(settings, *scans)
    assert score_scans(settings, Task.FOUR_CLASS) == 3
    client.post("/predict?heatmap=link", files=image_fields(*scans)).raise_for_status()
    rows = {(row["scan"], row["source"]): row for row in prediction_history(settings)}
    store = object_store(settings)
    for pixels in scans:
        score, api = rows[scan_id(pixels), "score"], rows[scan_id(pixels), "api"]
        for name in ("predicted_label", "possible_labels", "confidence", "unlike"):
            assert score[name] == api[name]
        assert score["distance"] == pytest.approx(api["distance"], abs=1e-5)
        assert score["probabilities"] == pytest.approx(api["probabilities"], abs=1e-5)
        assert score["caller"] is None
        assert store.read(score["heatmap_key"]) == store.read(api["heatmap_key"])


@pytest.mark.usefixtures("champion")
def test_labeled_scan_is_not_scored(settings: Settings) -> None:
    labeled, unlabeled = store_scans(settings, *noise_scans(2, seed=13))
    with write_session(settings) as session:
        session.add(ScanLabel(scan_id=labeled, label="glioma", batch_id="b"))
    assert score_scans(settings, Task.FOUR_CLASS) == 1
    assert [row["scan"] for row in prediction_history(settings)] == [unlabeled]


@pytest.mark.usefixtures("champion")
def test_interrupted_scoring_resumes_after_the_last_chunk(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_scans(settings, *noise_scans(5, seed=7))
    monkeypatch.setattr(scoring, "CHUNK", 2)
    recorded_chunks = 0

    def fail_at_the_second_chunk(*args: Any, **options: Any) -> None:
        nonlocal recorded_chunks
        if recorded_chunks == 1:
            raise KeyboardInterrupt
        recorded_chunks += 1
        record_predictions(*args, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(scoring, "record_predictions", fail_at_the_second_chunk)
        score_scans(settings, Task.FOUR_CLASS)
    assert len(prediction_history(settings)) == 2
    assert score_scans(settings, Task.FOUR_CLASS) == 3
    assert score_scans(settings, Task.FOUR_CLASS) == 0
    twice = "select scan_id from prediction group by scan_id having count(*) > 1"
    assert select_rows(settings, twice) == []


@pytest.mark.usefixtures("champion")
def test_champion_that_fails_its_golden_scans_scores_nothing(
    settings: Settings, model: BuiltModel
) -> None:
    store_scans(settings, *noise_scans(1, seed=8))
    (golden,) = model.description.golden
    other_pixels = noise_scans(1, seed=GOLDEN_SEED + 1)[0]
    object_store(settings).write(scan_key(golden), encode_png(other_pixels))
    with pytest.raises(TumorMLError, match=rf"golden scans: a probability of the scan {golden}"):
        score_scans(settings, Task.FOUR_CLASS)
    assert prediction_history(settings) == []


@pytest.mark.usefixtures("champion")
def test_unreadable_scan_is_reported_after_the_others_are_scored(settings: Settings) -> None:
    lost, *_ = store_scans(settings, *noise_scans(4, seed=12))
    object_store(settings).remove(scan_key(lost))
    with pytest.raises(TumorMLError, match=rf"3 scans were scored; 1 could not be read. {lost}"):
        score_scans(settings, Task.FOUR_CLASS)
    assert len(prediction_history(settings)) == 3


def test_task_without_a_champion_cannot_be_scored(settings: Settings) -> None:
    with pytest.raises(TumorMLError, match="The task binary has no champion yet"):
        score_scans(settings, Task.BINARY)
