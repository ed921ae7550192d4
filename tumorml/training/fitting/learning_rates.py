"""The learning rate of each step: rate, schedule and warm-up of a phase."""

from __future__ import annotations

import math
from typing import Any

import keras  # noqa: TID253
import numpy as np
import tensorflow as tf  # noqa: TID253

from tumorml.recipes.sections import Phase


def learning_rates(phase: Phase, epoch: int, steps: int, *, share: float = 1.0) -> np.ndarray:
    """Return the learning rate of every step of one epoch.

    Args:
        phase: Its rate, schedule and warm-up are used.
        epoch: Number of the epoch within the phase, from 0.
        steps: Steps of one epoch.
        share: Factor from the reductions on plateaus, in 0..1.

    Returns:
        float64 `[steps]`. The cosine schedule is that of Loshchilov and Hutter 2017
        (arXiv:1608.03983) without restarts; it is multiplied by the warm-up.
    """
    step = epoch * steps + np.arange(steps)
    rates = np.full(steps, phase.learning_rate * share)
    if phase.schedule == "cosine":
        rates = rates * 0.5 * (1.0 + np.cos(math.pi * step / (phase.epochs * steps)))
    if phase.warmup_epochs > 0:
        rates = rates * np.minimum(1.0, (step + 1) / (phase.warmup_epochs * steps))
    return rates


class EpochRates(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule in the graph with the learning rates of one epoch's steps.

    A Keras callback would return to Python before every step.

    Args:
        steps: Steps of one epoch.
    """

    def __init__(self, steps: int) -> None:
        self._rates = tf.Variable(tf.zeros(steps), trainable=False, name="rates")
        self._first = tf.Variable(0, trainable=False, dtype=tf.int64, name="first")

    def set_rates(self, rates: np.ndarray, first: int) -> None:
        """Set the rates of the next epoch; later epochs repeat them until they are set again.

        Args:
            rates: float64 `[steps]`.
            first: The optimizer's count of steps at the start of the epoch.
        """
        self._rates.assign(rates)
        self._first.assign(first)

    def __call__(self, step: Any) -> tf.Tensor:
        """Return the rate of a step.

        Args:
            step: The optimizer's count of steps, which excludes steps that loss scaling skipped.
        """
        steps = tf.cast(step, tf.int64) - self._first
        return tf.gather(self._rates, steps % self._rates.shape[0])
