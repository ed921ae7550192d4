"""Fused batch normalization has the outputs of Keras's layer and is deterministic."""

from __future__ import annotations

import keras  # noqa: TID253
import numpy as np
import pytest
import tensorflow as tf  # noqa: TID253

from tumorml.recipes.load_recipe import load_recipe, recipe_names
from tumorml.recipes.networks.build_network import build_network
from tumorml.training.fitting.compile_phase import compile_phase
from tumorml.training.fitting.fused_batch_normalization import (
    FusedBatchNormalization,
    with_fused_batch_normalization,
)

RNG = np.random.default_rng(1)
IMAGES = RNG.uniform(0, 255, (8, 64, 64, 1)).astype(np.float32)
TARGETS = np.eye(4, dtype=np.float32)[RNG.integers(0, 4, 8)]


def small(name: str) -> keras.Model:
    recipe = load_recipe(name).model_copy(
        update={"input_size": 64, "weights": "none", "dropout": 0.0}
    )
    return build_network(recipe, 4, seed=1)


def test_fused_layer_gives_outputs_and_gradients_of_keras() -> None:
    values = RNG.normal(3, 2, (6, 5, 4, 7)).astype(np.float32)
    weights = RNG.normal(size=(6, 5, 4, 7)).astype(np.float32)
    found = []
    for kind in (keras.layers.BatchNormalization, FusedBatchNormalization):
        layer = kind(momentum=0.9, epsilon=1e-3)
        layer.build(values.shape)
        layer.gamma.assign(np.linspace(0.5, 2, 7))
        inputs = tf.constant(values)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
            loss = tf.reduce_sum(outputs * weights)
        gradients = tape.gradient(loss, [inputs, layer.gamma.value, layer.beta.value])
        found.append([outputs, *gradients, *layer.non_trainable_variables])
    for ours, theirs in zip(found[1], found[0], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", recipe_names())
def test_fused_network_keeps_weights_layers_and_outputs(name: str) -> None:
    network = small(name)
    fused = with_fused_batch_normalization(network)
    assert [layer.name for layer in fused.layers] == [layer.name for layer in network.layers]
    for ours, theirs in zip(fused.variables, network.variables, strict=True):
        assert (ours.name, ours.shape) == (theirs.name, theirs.shape)
    for ours, theirs in zip(fused.weights, network.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(fused(IMAGES), network(IMAGES), rtol=1e-5, atol=1e-5)
    kinds = {type(layer) for layer in fused.layers}
    assert keras.layers.BatchNormalization not in kinds


def test_default_network_trains_bit_identically() -> None:
    recipe = load_recipe("efficientnet-lite0")
    found = []
    for _ in range(2):
        network = with_fused_batch_normalization(small("efficientnet-lite0"))
        compile_phase(network, recipe, recipe.phases[-1], steps=1)
        losses = [network.train_on_batch(IMAGES, TARGETS)[0] for _ in range(4)]
        found.append((losses, network.get_weights()))
    assert found[0][0] == found[1][0]
    for ours, theirs in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
