"""A network made ready for one phase of a recipe: what is trained, by which loss and optimiser."""

from __future__ import annotations

import logging

import keras  # noqa: TID253
import tensorflow as tf  # noqa: TID253

from tumorml.recipes.networks.head import head_layers
from tumorml.recipes.recipe import Recipe
from tumorml.recipes.registry import NETWORKS
from tumorml.recipes.sections import Optimizer, Phase
from tumorml.training.fitting.fused_adam import FusedAdam, FusedAdamW
from tumorml.training.fitting.learning_rates import EpochRates

logger = logging.getLogger(__name__)

STEPS_AT_ONCE = 8
"""Of a small network, between two returns to Python, whose time it would feel."""


def with_evidence_as_output(network: keras.Model) -> keras.Model:
    """The same network with two outputs, `logits` and `evidence`, to train both."""
    layers = {name: network.get_layer(name).output for name in ("logits", "evidence")}
    return keras.Model(network.inputs, layers, name=network.name)


def compile_phase(network: keras.Model, recipe: Recipe, phase: Phase, steps: int) -> EpochRates:
    """Freeze and thaw the layers of a phase and give the network a fresh optimiser.

    Returns:
        What to tell the rates of each epoch's `steps` before it begins.
    """
    head = {layer.name for layer in head_layers(network)}
    for layer in network.layers:
        trainable = phase.trainable == "all" or layer.name in head
        if isinstance(layer, keras.layers.BatchNormalization):
            trainable = trainable and recipe.batch_normalization == "adapt"
        layer.trainable = trainable
    rates = EpochRates(steps)
    optimizer = _optimizer(recipe.optimizer, rates)
    smoothing = recipe.label_smoothing
    if network.get_layer("logits").output.shape[-1] == 1:
        loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)
        accuracy = keras.metrics.MeanMetricWrapper(_called_rightly, name="accuracy")
    else:
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
        accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    both = {}
    if isinstance(network.output, dict) and recipe.evidence is not None:
        loss = {"logits": loss, "evidence": evidence_loss}
        accuracy = {"logits": [accuracy]}
        both = {"loss_weights": {"logits": 1.0, "evidence": recipe.evidence.mask_weight}}
    network.compile(
        optimizer,
        loss,
        metrics=accuracy if both else [accuracy],
        jit_compile=recipe.xla and _xla_helps(),
        steps_per_execution=_steps_at_once(recipe),
        **both,
    )
    network.optimizer.build(network.trainable_variables)
    return rates


def evidence_loss(masks: tf.Tensor, evidence: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of the fields and what the soft Dice coefficient lacks to one, float32 `[n]`.

    Args:
        masks: float32 `[n, side, side, 1]`, the share of tumour in each field.
        evidence: float32 `[n, side, side, 1]` in 0..1.
    """
    fields = [1, 2, 3]
    cross_entropy = tf.reduce_mean(keras.ops.binary_crossentropy(masks, evidence), fields)
    common = tf.reduce_sum(masks * evidence, fields)
    dice = (2.0 * common + 1.0) / (tf.reduce_sum(masks + evidence, fields) + 1.0)
    return cross_entropy + 1.0 - dice


def _called_rightly(target: tf.Tensor, logit: tf.Tensor) -> tf.Tensor:
    """As the larger share of a blended target; Keras's binary accuracy knows 0 and 1 alone."""
    return tf.cast(tf.equal(target > 0.5, logit > 0.0), tf.float32)[:, 0]


def _steps_at_once(recipe: Recipe) -> int:
    """One of a large network, so that Ctrl-C is heard; Keras's loop breaks on several devices."""
    return STEPS_AT_ONCE if NETWORKS[recipe.network].published_weights is None and _alone() else 1


def _alone() -> bool:
    replicas: int = tf.distribute.get_strategy().num_replicas_in_sync
    return replicas == 1


def _xla_helps() -> bool:
    """On one GPU: on a CPU it is slower, and it cannot share a batch between devices."""
    helps = _alone() and bool(tf.config.list_logical_devices("GPU"))
    if not helps:
        logger.info("xla = true is for one GPU, and not followed here")
    return helps


def _optimizer(options: Optimizer, rates: EpochRates) -> keras.optimizers.Optimizer:
    if options.name == "adam":
        return FusedAdam(rates)
    optimizer = FusedAdamW(rates, weight_decay=options.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer
