"""What turns a network's logits into probabilities that can be believed, and into decisions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

from tumorml.labels import LABELS, Task

TEMPERATURES = (0.05, 20.0)
_SPREAD = 0.5
"""Standard deviation of a temperature's logarithm before anything is known of a network."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is fitted on validation, and belongs to the model version.

    Attributes:
        temperature: what logits are divided by before the softmax.
        operating_point: of a binary model, the least probability of ``tumor`` that is called one.
    """

    temperature: float = 1.0
    operating_point: float | None = None


class Calibrated:
    """What answers for a task by logits: their probabilities, and what they are called.

    Attributes:
        task: what it decides.
        labels: the task's labels, in class order.
        calibration: its temperature and, where binary, its operating point.
    """

    def __init__(self, task: Task, calibration: Calibration | None = None) -> None:
        self.task = task
        self.labels = LABELS[task]
        self.calibration = calibration or Calibration()

    def calibrated(self, logits: np.ndarray) -> np.ndarray:
        """The probabilities of logits, float32 `[n, classes]` both."""
        scaled = logits.astype(np.float64) / self.calibration.temperature
        return np.asarray(softmax(scaled, axis=1), np.float32)

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """The class that each scan is called.

        Args:
            probabilities: float32 `[n, classes]`, as `calibrated` gives them.

        Returns:
            int64 `[n]`: the class of the highest probability; of a binary model ``tumor`` from the
            operating point on.
        """
        threshold = self.calibration.operating_point
        if threshold is None:
            return np.asarray(probabilities.argmax(axis=1), np.int64)
        return np.asarray(probabilities[:, 1] >= threshold, np.int64)


def of_classes(raw: np.ndarray) -> np.ndarray:
    """What a network answers, float32 `[n, 1]` or `[n, classes]`, as a logit for each class."""
    return np.concatenate([-raw / 2, raw / 2], axis=1) if raw.shape[1] == 1 else raw


def calibrate(
    logits: NDArray[np.float32],
    truth: NDArray[np.int64],
    task: Task,
    *,
    min_sensitivity: float,
) -> Calibration:
    """Fit a model's calibration on validation scans.

    Args:
        logits: [n, classes], as `Predictor.logits` gives them.
        truth: [n], class indices.
        task: What the model decides.
        min_sensitivity: Share of the tumours that a binary model must call one.
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
    """The temperature of the least log-loss (Guo et al., 2017, arXiv:1706.04599), near one.

    Where nearly all of a few scans are right, the log-loss falls for ever with the temperature, and
    the next wrong answer is believed wholly. So its logarithm is held to a normal distribution
    about 0, as one scan among the others.

    Args:
        logits: [n, classes].
        truth: [n], class indices.

    Returns:
        A number within `TEMPERATURES`; 1 where there is no scan.
    """
    if not len(truth):
        return 1.0
    values = logits.astype(np.float64)
    right = values[np.arange(len(truth)), truth]

    def log_loss(logarithm: float) -> float:
        scale = np.exp(-logarithm)
        of_scans = logsumexp(values * scale, axis=1) - right * scale
        return float((of_scans.sum() + (logarithm / _SPREAD) ** 2 / 2) / len(truth))

    found = minimize_scalar(log_loss, bounds=np.log(TEMPERATURES), method="bounded")
    return float(np.exp(found.x))


def operating_point(
    probability: NDArray[np.float64], tumor: NDArray[np.bool_], *, min_sensitivity: float
) -> float:
    """One half, or the highest lower threshold that keeps the sensitivity.

    Args:
        probability: [n], of a tumour.
        tumor: [n], whether there is one.
        min_sensitivity: Least share of the tumours whose probability reaches the threshold.
    """
    of_tumors = np.sort(probability[tumor])[::-1]
    if not len(of_tumors):
        return 0.5
    needed = int(np.ceil(min_sensitivity * len(of_tumors)))
    if needed == 0:
        return 0.5
    # A hair below, so that the scan itself still counts when its probability is a float32.
    return float(min(0.5, of_tumors[needed - 1] - 1e-6))
