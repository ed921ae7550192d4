"""Reference of a model version: prediction sets, and distances from training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.special import softmax

from tumorml.labels import Task
from tumorml.models.calibration import Calibrated
from tumorml.models.reference import Reference, make_reference

RNG = np.random.default_rng(5)


def draw(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, logits that mostly agree, and features near their label's direction."""
    labels = RNG.integers(0, 4, count)
    logits = (RNG.normal(size=(count, 4)) + 1.5 * np.eye(4)[labels]).astype(np.float32)
    features = (np.eye(16)[labels] + 0.2 * RNG.random((count, 16))).astype(np.float32)
    return labels, logits, features


def made() -> Reference:
    labels, _, features = draw(300)
    known, logits, seen = draw(400)
    ids = [f"scan-{n}" for n in range(300)]
    return make_reference(Calibrated(Task.FOUR_CLASS), ids, labels, features, logits, known, seen)


def test_prediction_sets_cover_the_true_label_as_stated() -> None:
    reference = made()
    labels, logits, _ = draw(20_000)
    probabilities = softmax(logits, axis=1)
    for confidence in (0.8, 0.95):
        possible = reference.possible_labels(probabilities, confidence)
        covered = possible[np.arange(len(labels)), labels].mean()
        assert confidence - 0.04 < covered < confidence + 0.04
        assert possible.any(axis=1).all()
    few = reference.possible_labels(probabilities, 0.8).sum()
    assert few < reference.possible_labels(probabilities, 0.95).sum()


def test_prediction_set_has_all_labels_with_too_few_scans() -> None:
    assert made().possible_labels(np.array([[0.97, 0.01, 0.01, 0.01]]), 0.9999).all()


def test_few_validation_scans_are_not_enough() -> None:
    reference = made()
    assert reference.has_enough_scans
    assert not replace(reference, surprise=reference.surprise[:99]).has_enough_scans


def test_scan_with_other_features_is_unlike_training() -> None:
    reference = made()
    _, _, like = draw(500)
    assert reference.unlike(reference.compare(like).distance).mean() < 0.05
    other = np.zeros((3, 16), np.float32)
    other[:, 9:12] = np.eye(3)
    assert reference.unlike(reference.compare(other).distance).all()


def test_nearest_training_scans_come_first(tmp_path: Path) -> None:
    reference = made()
    reference.save(tmp_path / "r.npz")
    loaded = Reference.load(tmp_path / "r.npz")
    (near,) = loaded.compare(reference.features[7:8], 4).nearest
    assert near[0][:2] == ("scan-7", reference.labels[7])
    similarities = [similarity for *_, similarity in near]
    assert similarities == sorted(similarities, reverse=True)
    np.testing.assert_array_equal(loaded.surprise, reference.surprise)
