"""Unlabelled scans are read by the champion, once each, as the API would read them."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from tests.factories.champions import Made, pictures, take_in
from tests.serving.test_api import files, history
from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.objects import object_store
from tumorml.objects.keys import scan_key
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import ScanLabel
from tumorml.scans.images.decode import encode_png, scan_id
from tumorml.serving import score_scans as scoring
from tumorml.serving.score_scans import score_scans
from tumorml.settings import Settings


def test_a_scored_scan_has_the_row_that_the_api_would_write(
    client: TestClient, settings: Settings
) -> None:
    scans = pictures(3, seed=6)
    take_in(settings, *scans)
    assert score_scans(settings, Task.FOUR_CLASS) == 3
    client.post("/predict?heatmap=link", files=files(*scans)).raise_for_status()
    rows = history(settings)
    for pixels in scans:
        scored, asked = (
            next(r for r in rows if (r["scan"], r["source"]) == (scan_id(pixels), source))
            for source in ("score", "api")
        )
        for name in ("predicted_label", "possible_labels", "confidence", "unlike"):
            assert scored[name] == asked[name]
        assert scored["distance"] == pytest.approx(asked["distance"], abs=1e-5)
        assert scored["probabilities"] == pytest.approx(asked["probabilities"], abs=1e-5)
        assert scored["caller"] is None
        store = object_store(settings)
        assert store.read(scored["heatmap_key"]) == store.read(asked["heatmap_key"])


def test_a_labelled_scan_is_not_scored(champion: str, settings: Settings) -> None:
    labelled, unlabelled = take_in(settings, *pictures(2, seed=13))
    with write_session(settings) as session:
        session.add(ScanLabel(scan_id=labelled, label="glioma", batch_id="b"))
    assert score_scans(settings, Task.FOUR_CLASS) == 1
    assert [row["scan"] for row in history(settings)] == [unlabelled]


def test_scoring_that_was_stopped_goes_on_behind_the_last_chunk(
    champion: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in(settings, *pictures(5, seed=7))
    monkeypatch.setattr(scoring, "CHUNK", 2)
    whole = scoring.record_answers
    chunks = []

    def stop_at_the_second(*args: object, **options: object) -> None:
        if len(chunks) == 1:
            raise KeyboardInterrupt
        chunks.append(1)
        whole(*args, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(scoring, "record_answers", stop_at_the_second)
        score_scans(settings, Task.FOUR_CLASS)
    assert len(history(settings)) == 2
    assert score_scans(settings, Task.FOUR_CLASS) == 3
    assert score_scans(settings, Task.FOUR_CLASS) == 0
    with read_session(settings) as session:
        twice = "select 1 from prediction group by scan_id having count(*) > 1"
        assert not session.execute(text(twice)).all()


def test_a_champion_that_fails_its_golden_scans_scores_nothing(
    champion: str, settings: Settings, made: Made
) -> None:
    take_in(settings, *pictures(1, seed=8))
    golden = next(iter(made.description.golden))
    object_store(settings).write(scan_key(golden), encode_png(pictures(1, seed=10)[0]))
    with pytest.raises(TumorMLError, match="answers otherwise"):
        score_scans(settings, Task.FOUR_CLASS)
    assert history(settings) == []


def test_a_scan_that_cannot_be_read_is_told_when_the_others_are_scored(
    champion: str, settings: Settings
) -> None:
    lost, *_ = take_in(settings, *pictures(4, seed=12))
    object_store(settings).remove(scan_key(lost))
    with pytest.raises(TumorMLError, match=rf"3 scans were scored; 1 could not be read. {lost}"):
        score_scans(settings, Task.FOUR_CLASS)
    assert len(history(settings)) == 3
