"""Calibration on validation: the temperature, and a binary model's operating point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss

from tumorml.labels import Task
from tumorml.models.calibration import Calibration, calibrate, fit_temperature, operating_point


class Logits(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A fitted scikit-learn classifier whose features are its logits."""

    def __init__(self) -> None:
        self.classes_ = np.arange(4)

    def fit(self, features: np.ndarray, labels: np.ndarray) -> Logits:
        return self

    def predict(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(features.argmax(axis=1))

    def decision_function(self, features: np.ndarray) -> np.ndarray:
        return features


def made_logits(
    seed: int, scans: int = 600, *, scale: float = 4.0
) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 4, scans)
    logits = generator.normal(size=(scans, 4)) + 1.5 * np.eye(4)[truth]
    return (scale * logits).astype(np.float32), truth


@hypothesis_settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.3, 8.0))
def test_temperature_matches_scikit_learn(seed: int, scale: float) -> None:
    logits, truth = made_logits(seed, scans=6000, scale=scale)
    ours = softmax(logits.astype(np.float64) / fit_temperature(logits, truth), axis=1)
    calibrated = CalibratedClassifierCV(FrozenEstimator(Logits()), method="temperature")
    theirs = calibrated.fit(logits, truth).predict_proba(logits)
    assert log_loss(truth, ours) == pytest.approx(log_loss(truth, theirs), abs=5e-4)


def test_temperature_scales_with_logits_and_is_one_if_calibrated() -> None:
    logits, truth = made_logits(1, scans=20_000, scale=1.5)
    fitted = fit_temperature(logits, truth)
    assert fit_temperature(3 * logits, truth) == pytest.approx(3 * fitted, rel=1e-3)
    assert fit_temperature((logits / fitted).astype(np.float32), truth) == pytest.approx(
        1, rel=1e-3
    )


def test_calibration_without_scans_changes_nothing() -> None:
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    assert calibrate(*none, Task.FOUR_CLASS, min_sensitivity=0.9) == Calibration()


def test_operating_point_is_one_half_if_sensitivity_allows() -> None:
    probability = np.array([0.9, 0.8, 0.7, 0.1, 0.2])
    tumor = np.array([True, True, True, False, False])
    assert operating_point(probability, tumor, min_sensitivity=0.95) == 0.5


@given(seed=st.integers(0, 10_000), floor=st.floats(0.0, 1.0))
def test_operating_point_is_the_highest_with_the_sensitivity(seed: int, floor: float) -> None:
    generator = np.random.default_rng(seed)
    probability = generator.random(40)
    tumor = np.arange(40) % 2 == 0
    chosen = operating_point(probability, tumor, min_sensitivity=floor)
    assert chosen <= 0.5
    assert np.mean(probability[tumor] >= chosen) >= floor
    higher = chosen + 1e-5
    assert higher > 0.5 or np.mean(probability[tumor] >= higher) < max(floor, 1e-9)


def test_few_correct_scans_do_not_give_extreme_temperatures() -> None:
    truth = np.arange(32) % 4
    logits = (3.0 * np.eye(4)[truth]).astype(np.float32)
    few = fit_temperature(logits, truth)
    many = fit_temperature(np.tile(logits, (100, 1)), np.tile(truth, 100))
    assert 0.3 < few < 1.0
    assert many < few
