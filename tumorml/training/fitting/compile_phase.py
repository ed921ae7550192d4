"""Prepare a network for one phase: trainable layers, losses, metrics and optimizer."""

from __future__ import annotations

import logging

import keras  # noqa: TID253
import tensorflow as tf  # noqa: TID253

from tumorml.recipes.networks.head import head_layers
from tumorml.recipes.networks.layer_names import EVIDENCE, LOGITS
from tumorml.recipes.recipe import Recipe
from tumorml.recipes.registry import NETWORKS
from tumorml.recipes.sections import Optimizer, Phase
from tumorml.training.fitting.fused_adam import FusedAdam, FusedAdamW
from tumorml.training.fitting.learning_rates import EpochRates

logger = logging.getLogger(__name__)

STEPS_AT_ONCE = 8
"""Steps of a small network per call from Python; one call per step would be slower."""


def with_evidence_output(network: keras.Model) -> keras.Model:
    """Return a model of the same layers with the outputs `logits` and `evidence`, to train both."""
    outputs = {name: network.get_layer(name).output for name in (LOGITS, EVIDENCE)}
    return keras.Model(network.inputs, outputs, name=network.name)


def compile_phase(network: keras.Model, recipe: Recipe, phase: Phase, steps: int) -> EpochRates:
    """Set which layers a phase trains, and compile the network with a new optimizer.

    Args:
        network: The network; also with the output `evidence` if masks train the evidence map.
        recipe: Its losses, optimizer and options are used.
        phase: A phase of the recipe.
        steps: Steps of one epoch.

    Returns:
        The learning rates of the optimizer; set them before each epoch.
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
    if network.get_layer(LOGITS).output.shape[-1] == 1:
        loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)
        accuracy = keras.metrics.MeanMetricWrapper(binary_accuracy, name="accuracy")
    else:
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
        accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    loss_weights = None
    if isinstance(network.output, dict) and recipe.evidence is not None:
        loss = {LOGITS: loss, EVIDENCE: evidence_loss}
        accuracy = {LOGITS: [accuracy]}
        loss_weights = {LOGITS: 1.0, EVIDENCE: recipe.evidence.mask_weight}
    network.compile(
        optimizer,
        loss,
        loss_weights=loss_weights,
        metrics=accuracy if loss_weights else [accuracy],
        jit_compile=recipe.xla and _xla_helps(),
        steps_per_execution=_steps_at_once(recipe),
    )
    network.optimizer.build(network.trainable_variables)
    return rates


def evidence_loss(masks: tf.Tensor, evidence: tf.Tensor) -> tf.Tensor:
    """Return binary cross-entropy plus soft Dice loss of each scan, float32 `[n]`.

    The Dice coefficient is smoothed by adding 1 to its numerator and denominator.

    Args:
        masks: float32 `[n, side, side, 1]`, the tumor share of each cell, in 0..1.
        evidence: float32 `[n, side, side, 1]` in 0..1.
    """
    cell_axes = [1, 2, 3]
    cross_entropy = tf.reduce_mean(keras.ops.binary_crossentropy(masks, evidence), cell_axes)
    intersection = tf.reduce_sum(masks * evidence, cell_axes)
    dice = (2.0 * intersection + 1.0) / (tf.reduce_sum(masks + evidence, cell_axes) + 1.0)
    return cross_entropy + 1.0 - dice


def binary_accuracy(target: tf.Tensor, logit: tf.Tensor) -> tf.Tensor:
    """Return 1 for each scan whose prediction is the larger share of its target, float32 `[n]`.

    Targets of blended scans (mixup) lie between 0 and 1; Keras's binary accuracy requires 0 or 1.

    Args:
        target: float32 `[n, 1]` in 0..1.
        logit: float32 `[n, 1]`.
    """
    return tf.cast(tf.equal(target > 0.5, logit > 0.0), tf.float32)[:, 0]


def _steps_at_once(recipe: Recipe) -> int:
    """Return how many steps run per call from Python.

    It is one step for a large network, so that Ctrl-C takes effect soon, and for several devices,
    because Keras's loop over several steps fails on them.
    """
    is_small = NETWORKS[recipe.network].published_weights is None
    return STEPS_AT_ONCE if is_small and _has_one_replica() else 1


def _has_one_replica() -> bool:
    replicas: int = tf.distribute.get_strategy().num_replicas_in_sync
    return replicas == 1


def _xla_helps() -> bool:
    """Return whether there is exactly one GPU.

    On a CPU XLA is slower, and it cannot split a batch over devices.
    """
    helps = _has_one_replica() and bool(tf.config.list_logical_devices("GPU"))
    if not helps:
        logger.info("xla = true is ignored: it needs exactly one GPU")
    return helps


def _optimizer(options: Optimizer, rates: EpochRates) -> keras.optimizers.Optimizer:
    if options.name == "adam":
        return FusedAdam(rates)
    optimizer = FusedAdamW(rates, weight_decay=options.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer
