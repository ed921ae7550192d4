"""The fused step of Adam equals that of Keras."""

from __future__ import annotations

import keras  # noqa: TID253
import numpy as np
import pytest
import tensorflow as tf  # noqa: TID253

from tumorml.training.fitting.fused_adam import FusedAdam, FusedAdamW

RNG = np.random.default_rng(1)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (FusedAdam(1e-2), keras.optimizers.Adam(1e-2)),
        (FusedAdamW(1e-2, weight_decay=0.1), keras.optimizers.AdamW(1e-2, weight_decay=0.1)),
    ],
    ids=["adam", "adamw"],
)
def test_fused_adam_gives_the_steps_and_slots_of_keras(
    ours: keras.optimizers.Optimizer, theirs: keras.optimizers.Optimizer
) -> None:
    start = RNG.normal(size=(7, 5)).astype(np.float32)
    variables = [keras.Variable(start) for _ in range(2)]

    @tf.function
    def step(gradient: tf.Tensor) -> None:
        for optimizer, variable in zip((ours, theirs), variables, strict=True):
            optimizer.apply([gradient], [variable])

    for optimizer, variable in zip((ours, theirs), variables, strict=True):
        optimizer.build([variable])
    for _ in range(20):
        step(tf.constant(RNG.normal(size=(7, 5)).astype(np.float32)))
    np.testing.assert_allclose(variables[0], variables[1], rtol=1e-5, atol=1e-6)
    assert not np.allclose(variables[0], start, atol=0.05)
    for mine, kept in zip(ours.variables, theirs.variables, strict=True):
        np.testing.assert_allclose(mine, kept, rtol=1e-5, atol=1e-6)
