"""The learning rate of every step: a phase's own, its schedule, and its warm-up."""

from __future__ import annotations

import math
from typing import Any

import keras  # noqa: TID253
import numpy as np
import tensorflow as tf  # noqa: TID253

from tumorml.recipes.sections import Phase


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


class EpochRates(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """The rates of one epoch's steps as an optimiser finds them, inside the graph.

    Keras's callbacks would come back to Python before every step.
    """

    def __init__(self, steps: int) -> None:
        self._rates = tf.Variable(tf.zeros(steps), trainable=False, name="rates")
        self._first = tf.Variable(0, trainable=False, dtype=tf.int64, name="first")

    def follow(self, rates: np.ndarray, first: int) -> None:
        """Give the next epoch's steps these rates, and all after them the same ones again.

        Args:
            rates: float64 `[steps]`.
            first: the optimiser's count of steps before the epoch.
        """
        self._rates.assign(rates)
        self._first.assign(first)

    def __call__(self, step: Any) -> tf.Tensor:
        """The rate of a step, by the optimiser's count, which leaves out what it skipped."""
        steps = tf.cast(step, tf.int64) - self._first
        return tf.gather(self._rates, steps % self._rates.shape[0])
