"""Calibration: from logits to calibrated probabilities and decisions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

from tumorml.labels import LABELS, Task

TEMPERATURES = (0.05, 20.0)
_SPREAD = 0.5
"""Standard deviation of the normal prior of the temperature's logarithm."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Calibration of a model version, fitted on validation scans.

    Attributes:
        temperature: Divisor of the logits before the softmax.
        operating_point: Minimum probability of ``tumor`` at which a binary model predicts tumor.
    """

    temperature: float = 1.0
    operating_point: float | None = None


class Calibrated:
    """A model with calibrated probabilities and decisions.

    Attributes:
        task: Task of the model.
        labels: The task's labels, in class order.
        calibration: Temperature and, for a binary model, operating point.
    """

    def __init__(self, task: Task, calibration: Calibration | None = None) -> None:
        self.task = task
        self.labels = LABELS[task]
        self.calibration = calibration or Calibration()

    def calibrated(self, logits: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities of logits, both float32 `[n, classes]`."""
        scaled = logits.astype(np.float64) / self.calibration.temperature
        return np.asarray(softmax(scaled, axis=1), np.float32)

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the predicted class of each scan.

        Args:
            probabilities: float32 `[n, classes]`, as `calibrated` returns them.

        Returns:
            int64 `[n]`: the class of the highest probability; for a binary model ``tumor`` if its
            probability reaches the operating point.
        """
        threshold = self.calibration.operating_point
        if threshold is None:
            return np.asarray(probabilities.argmax(axis=1), np.int64)
        return np.asarray(probabilities[:, 1] >= threshold, np.int64)


def class_logits(outputs: np.ndarray) -> np.ndarray:
    """Return a logit for each class, float32 `[n, classes]`.

    Args:
        outputs: Output of a network, float32 `[n, 1]` or `[n, classes]`. One logit z becomes
            `[-z / 2, z / 2]`, whose softmax is the sigmoid of z.
    """
    if outputs.shape[1] == 1:
        return np.concatenate([-outputs / 2, outputs / 2], axis=1)
    return outputs


def calibrate(
    logits: NDArray[np.float32],
    truth: NDArray[np.int64],
    task: Task,
    *,
    min_sensitivity: float,
) -> Calibration:
    """Fit a model's calibration on validation scans.

    Args:
        logits: float32 [n, classes], as `Predictor.logits` returns them.
        truth: int64 [n], class indices.
        task: Task of the model.
        min_sensitivity: Share of the tumors that a binary model must classify as tumor, in 0..1.
    """
    temperature = fit_temperature(logits, truth)
    if task is not Task.BINARY:
        return Calibration(temperature)
    tumor = LABELS[task].index("tumor")
    probability = softmax(logits.astype(np.float64) / temperature, axis=1)[:, tumor]
    return Calibration(
        temperature, operating_point(probability, truth == tumor, min_sensitivity=min_sensitivity)
    )


def fit_temperature(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """Fit a temperature by minimal log-loss (Guo et al., 2017, arXiv:1706.04599) with a prior.

    If nearly all of a few scans are classified correctly, the log-loss alone is minimal at a
    temperature near 0, which makes later wrong predictions fully confident. Therefore the logarithm
    of the temperature has a normal prior around 0, with the weight of one scan.

    Args:
        logits: float32 [n, classes].
        truth: int64 [n], class indices.

    Returns:
        A temperature within `TEMPERATURES`; 1 without scans.
    """
    if not len(truth):
        return 1.0
    values = logits.astype(np.float64)
    true_logits = values[np.arange(len(truth)), truth]

    def log_loss(logarithm: float) -> float:
        scale = np.exp(-logarithm)
        scan_losses = logsumexp(values * scale, axis=1) - true_logits * scale
        return float((scan_losses.sum() + (logarithm / _SPREAD) ** 2 / 2) / len(truth))

    minimum = minimize_scalar(log_loss, bounds=np.log(TEMPERATURES), method="bounded")
    return float(np.exp(minimum.x))


def operating_point(
    probability: NDArray[np.float64], tumor: NDArray[np.bool_], *, min_sensitivity: float
) -> float:
    """Return the highest threshold, at most 0.5, that reaches the minimum sensitivity.

    Args:
        probability: float64 [n], probabilities of a tumor.
        tumor: bool [n], whether the scan shows a tumor.
        min_sensitivity: Minimum share of tumors whose probability reaches the threshold, in 0..1.
    """
    tumor_probabilities = np.sort(probability[tumor])[::-1]
    if not len(tumor_probabilities):
        return 0.5
    needed = int(np.ceil(min_sensitivity * len(tumor_probabilities)))
    if needed == 0:
        return 0.5
    # Slightly lower, so that this scan reaches the threshold after rounding to float32 too.
    return float(min(0.5, tumor_probabilities[needed - 1] - 1e-6))
