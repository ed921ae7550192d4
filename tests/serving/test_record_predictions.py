"""Predictions that are recorded together may be of several champions and times."""

from __future__ import annotations

from sqlalchemy import select

from tests.factories.champions import SIDE, noise_scans
from tumorml.datasets.resize import fit_to_square
from tumorml.results.session import read_session, write_session
from tumorml.results.tables import Prediction
from tumorml.scans.images.decode import scan_id
from tumorml.serving.live_champions import LiveChampion
from tumorml.serving.predict_scans import ScanInput, predict_scans
from tumorml.serving.record_predictions import PredictionRecord, record_predictions
from tumorml.settings import Settings


def test_each_mixed_prediction_becomes_a_row_of_its_own(
    settings: Settings, live_champions: tuple[LiveChampion, LiveChampion]
) -> None:
    inputs = [
        ScanInput(live_champions[n % 2], scan_id(pixels), fit_to_square(pixels, SIDE))
        for n, pixels in enumerate(noise_scans(4, seed=15))
    ]
    predictions = predict_scans(inputs, confidence=0.9) + predict_scans(inputs, confidence=0.8)
    assert len({one.answered_at for one in predictions}) == 4
    records = [PredictionRecord(one, f"caller {n}") for n, one in enumerate(predictions)]
    with write_session(settings) as session:
        record_predictions(session, records, source="api")
    with read_session(settings) as session:
        rows = {row.caller: row for row in session.scalars(select(Prediction))}
    assert len(rows) == len(records)
    for record in records:
        row, one = rows[record.caller], record.prediction
        assert row.model_version_id == one.champion.model_version_id
        assert (row.scan_id, row.created_at) == (one.scan_id, one.answered_at)
        assert (row.label, row.probabilities) == (one.label, one.probabilities)
        assert (row.possible_labels, row.confidence) == (one.possible_labels, one.confidence)
        assert (row.distance, row.unlike) == (one.distance, one.unlike)
