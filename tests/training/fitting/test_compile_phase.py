"""Optimizer, metrics, XLA, precision and devices of a training."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.factories.blob_training import EPOCHS, BlobTraining, assert_same_weights, train_blobs
from tests.factories.blobs import tiny_recipe
from tumorml.recipes.networks.build_network import build_network
from tumorml.recipes.sections import Optimizer
from tumorml.training.checkpoints.checkpoint import finished_epochs


def test_weight_decay_spares_biases() -> None:
    from tumorml.training.fitting.compile_phase import compile_phase

    recipe = tiny_recipe(optimizer=Optimizer(name="adamw", weight_decay=0.1))
    network = build_network(recipe, 2, seed=1)
    for variable in network.trainable_variables:
        variable.assign(np.ones(variable.shape, np.float32))
    rates = compile_phase(network, recipe, recipe.phases[0], steps=1)
    rates.set_rates(np.array([0.5]), first=0)
    network.optimizer.apply([np.zeros(v.shape, np.float32) for v in network.trainable_variables])
    for variable in network.trainable_variables:
        expected = 1.0 if variable.name == "bias" else 1.0 - 0.5 * 0.1
        np.testing.assert_allclose(np.asarray(variable), expected, rtol=1e-6)


def test_accuracy_of_a_blended_scan_uses_its_larger_share() -> None:
    import tensorflow as tf

    from tumorml.training.fitting.compile_phase import binary_accuracy

    accuracy = binary_accuracy(
        tf.constant([[0.9], [0.9], [0.2], [0.0]]), tf.constant([[3.0], [-3.0], [-1.0], [1.0]])
    )
    np.testing.assert_array_equal(accuracy, [1, 0, 1, 0])


def test_xla_is_ignored_on_a_cpu() -> None:
    from tumorml.training.fitting.compile_phase import compile_phase

    recipe = tiny_recipe(xla=True)
    network = build_network(recipe, 2, seed=1)
    compile_phase(network, recipe, recipe.phases[0], steps=1)
    assert network.jit_compile is False


@pytest.mark.parametrize("options", [{"precision": "mixed_bfloat16"}, {"xla": True}])
def test_half_precision_and_xla_reach_similar_losses(
    options: dict[str, object],
    blob_training: BlobTraining,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tumorml.training.fitting import compile_phase

    monkeypatch.setattr(compile_phase, "_xla_helps", lambda: True)
    train_blobs(tmp_path, tiny_recipe(**options))
    losses, expected = (
        [record.validation_loss for record in finished_epochs(folder)]
        for folder in (tmp_path, blob_training.folder)
    )
    np.testing.assert_allclose(losses, expected, rtol=0.2)


def test_several_steps_per_call_give_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tumorml.training.fitting import compile_phase

    recipe = tiny_recipe(batch_size=4)  # ten steps
    several, _ = train_blobs(tmp_path / "several", recipe)
    monkeypatch.setattr(compile_phase, "STEPS_AT_ONCE", 1)
    single, _ = train_blobs(tmp_path / "single", recipe)
    assert_same_weights(several, single)


TWO_DEVICES = """
import sys
from pathlib import Path
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.factories.blob_training import train_blobs
from tests.factories.blobs import tiny_recipe
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
recipe = tiny_recipe(dropout=0.0, network=sys.argv[2])
train_blobs(Path(sys.argv[1]), recipe, strategy=strategy)
"""


@pytest.mark.parametrize(
    ("network", "tolerance"),
    # Each device normalizes its half of the batch with the statistics of that half.
    [("baseline-cnn", 1e-3), ("batchnorm-cnn", 0.5)],
)
def test_two_devices_reach_the_losses_of_one(
    network: str, tolerance: float, tmp_path: Path
) -> None:
    child = [sys.executable, "-c", TWO_DEVICES, str(tmp_path / "two"), network]
    subprocess.run(child, cwd=Path(__file__).parents[3], check=True)
    train_blobs(tmp_path / "one", tiny_recipe(dropout=0.0, network=network))
    losses, expected = (
        [record.validation_loss for record in finished_epochs(tmp_path / folder)]
        for folder in ("two", "one")
    )
    assert len(losses) == EPOCHS
    np.testing.assert_allclose(losses, expected, rtol=tolerance)
