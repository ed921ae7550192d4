from __future__ import annotations

import numpy as np
import pytest

from tests.factories.blobs import tiny_recipe


def test_rate_warms_up_and_then_falls_along_a_cosine() -> None:
    from tumorml.training.fitting.learning_rates import learning_rates

    phase = tiny_recipe().phases[1].model_copy(update={"warmup_epochs": 1.0, "epochs": 4})
    rates = np.concatenate([learning_rates(phase, epoch, 10) for epoch in range(4)])
    assert np.argmax(rates) == 9
    assert np.all(np.diff(rates[:10]) > 0)
    assert np.all(np.diff(rates[9:]) < 0)
    assert rates[-1] < 0.01 * phase.learning_rate
    assert rates[20] == pytest.approx(0.5 * phase.learning_rate)  # half of the phase


@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "loss scaling"])
def test_each_step_uses_its_rate_even_after_skipped_steps(scaled: bool) -> None:
    """With loss scaling, a step with an infinite gradient is skipped and not counted."""
    import keras
    import tensorflow as tf

    from tumorml.training.fitting.fused_adam import FusedAdam
    from tumorml.training.fitting.learning_rates import EpochRates

    rates = EpochRates(3)
    optimizer = inner = FusedAdam(rates)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(inner)
    variable = keras.Variable(np.zeros(2, np.float32))
    optimizer.build([variable])
    for epoch in ([0.1, 0.2, 0.3], [1.0, 2.0, 3.0]):
        rates.set_rates(np.array(epoch), int(optimizer.iterations))
        if scaled:
            optimizer.apply([tf.constant([np.inf, 0.0])])
        found = []
        for _ in epoch[scaled:]:
            found.append(float(inner.learning_rate))
            optimizer.apply([tf.ones(2)])
        np.testing.assert_allclose(found, epoch[: len(found)], rtol=1e-6)
