"""A batch may contain scans for several champions, as at the moment of a promotion."""

from __future__ import annotations

import numpy as np

from tests.factories.champions import SIDE, BuiltModel, noise_scans
from tumorml.datasets.resize import fit_to_square
from tumorml.scans.images.decode import scan_id
from tumorml.serving.live_champions import LiveChampion
from tumorml.serving.predict_scans import ScanInput, predict_scans


def test_each_scan_of_a_mixed_batch_is_predicted_by_its_champion(
    live_champions: tuple[LiveChampion, LiveChampion], model: BuiltModel, other_model: BuiltModel
) -> None:
    scans = noise_scans(6, seed=14)
    squares = np.stack([fit_to_square(pixels, SIDE) for pixels in scans])
    expected = np.stack([built.predictor.predict(squares) for built in (model, other_model)])
    assert np.abs(expected[0] - expected[1]).max(axis=1).min() > 0.01
    champion_of_scan = [0, 1, 1, 0, 1, 0]
    inputs = [
        ScanInput(live_champions[number], scan_id(pixels), square)
        for number, pixels, square in zip(champion_of_scan, scans, squares, strict=True)
    ]
    predictions = predict_scans(inputs, confidence=0.9)
    for index, number in enumerate(champion_of_scan):
        prediction = predictions[index]
        assert prediction.champion == live_champions[number]
        assert prediction.scan_id == inputs[index].scan_id
        probabilities = expected[number, index]
        labels = model.predictor.labels
        np.testing.assert_allclose(
            [prediction.probabilities[label] for label in labels], probabilities, atol=1e-4
        )
        assert prediction.label == labels[probabilities.argmax()]
