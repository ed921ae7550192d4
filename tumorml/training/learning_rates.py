"""The learning rate of every step: a phase's own, its schedule, and its warm-up."""

from __future__ import annotations

import math
from typing import Any

import keras  # noqa: TID253
import numpy as np

from tumorml.recipes.recipe import Phase


def learning_rates(phase: Phase, epoch: int, steps: int, *, share: float = 1.0) -> np.ndarray:
    """The learning rate of every step of one epoch.

    Args:
        phase: gives the rate, the schedule and the warm-up.
        epoch: 0-based within the phase.
        steps: of one epoch.
        share: of the phase's rate that ReduceOnPlateau has left.

    Returns:
        float64 `[steps]`. Cosine without restarts after Loshchilov and Hutter 2017
        (arXiv:1608.03983), the warm-up multiplied onto it.
    """
    step = epoch * steps + np.arange(steps)
    rates = np.full(steps, phase.learning_rate * share)
    if phase.schedule == "cosine":
        rates = rates * 0.5 * (1.0 + np.cos(math.pi * step / (phase.epochs * steps)))
    if phase.warmup_epochs > 0:
        rates = rates * np.minimum(1.0, (step + 1) / (phase.warmup_epochs * steps))
    return rates


class LearningRates(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets the optimiser's learning rate before each step of one epoch."""

    def __init__(self, rates: np.ndarray) -> None:
        super().__init__()
        self._rates = rates

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called by Keras; `batch` counts from 0."""
        self.model.optimizer.learning_rate = float(self._rates[batch])
