"""A network made ready for one phase of a recipe: what is trained, by which loss and optimiser."""

from __future__ import annotations

import keras  # noqa: TID253

from tumorml.recipes.networks.head import head_layers
from tumorml.recipes.recipe import Optimizer, Phase, Recipe


def compile_phase(network: keras.Model, recipe: Recipe, phase: Phase) -> None:
    """Freeze and thaw the layers of a phase and give the network a fresh optimiser."""
    head = {layer.name for layer in head_layers(network)}
    for layer in network.layers:
        trainable = phase.trainable == "all" or layer.name in head
        if isinstance(layer, keras.layers.BatchNormalization):
            trainable = trainable and recipe.batch_normalization == "adapt"
        layer.trainable = trainable
    optimizer = _optimizer(recipe.optimizer)
    smoothing = recipe.label_smoothing
    if network.output_shape[-1] == 1:
        loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)
        accuracy = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
    else:
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
        accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    network.compile(optimizer, loss, metrics=[accuracy], jit_compile=recipe.xla)
    network.optimizer.build(network.trainable_variables)


def _optimizer(options: Optimizer) -> keras.optimizers.Optimizer:
    if options.name == "adam":
        return keras.optimizers.Adam()
    optimizer = keras.optimizers.AdamW(weight_decay=options.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer
