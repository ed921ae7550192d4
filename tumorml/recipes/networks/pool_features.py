"""Pool the last feature map to one vector, optionally with an evidence map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras  # noqa: TID253

from tumorml.recipes.networks.layer_names import EVIDENCE, EVIDENCE_STRIDE, POOL

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe

_BATCH_NORM_MOMENTUM = 0.9

# A tumor covers a few percent of the map's cells, so the initial value is low, sigmoid(-3) = 0.05.
# From 0.5, training needs many more steps (Lin et al. 2017, arXiv:1708.02002, section 4.1).
_INITIAL_LOGIT = keras.initializers.Constant(-3.0)


def pool_features(
    inputs: keras.KerasTensor, features: keras.KerasTensor, recipe: Recipe
) -> keras.KerasTensor:
    """Pool the last feature map for the head.

    Without `recipe.evidence` the result is the global average. With it, a small decoder (a feature
    pyramid after Lin et al. 2017, arXiv:1612.03144) upsamples the features to a quarter of the
    input's side and computes the evidence map from them, the layer `evidence`. The result is then
    the global average, followed by the average weighted by that map, so the map is part of the
    decision that it explains. With the weighted average alone, the network lacks the surroundings
    of a tumor and was less accurate.

    Args:
        inputs: Input of the network, `[n, S, S, 1]`.
        features: Last feature map, `[n, S/32, S/32, channels]`.
        recipe: Its `input_size` and `evidence` are used.

    Returns:
        Output of the layer `pool`: float32 `[n, channels]`, or `[n, 2 * channels]` with an
        evidence map.
    """
    if recipe.evidence is None:
        return keras.layers.GlobalAveragePooling2D(name=POOL)(features)
    evidence = _evidence_map(inputs, features, recipe.input_size, recipe.evidence.units)
    cell = 32 // EVIDENCE_STRIDE
    weights = keras.layers.AveragePooling2D(cell, dtype="float32", name="evidence_weights")(
        evidence
    )
    weighted = keras.layers.Multiply(dtype="float32", name="evidence_seen")([features, weights])
    total_weight = keras.layers.GlobalAveragePooling2D(dtype="float32", name="evidence_total")(
        weights
    )
    weighted_sum = keras.layers.GlobalAveragePooling2D(dtype="float32", name="evidence_mean")(
        weighted
    )
    weighted_average = keras.ops.divide(weighted_sum, total_weight + keras.config.epsilon())
    average = keras.layers.GlobalAveragePooling2D(dtype="float32", name="mean")(features)
    return keras.layers.Concatenate(dtype="float32", name=POOL)([average, weighted_average])


def _evidence_map(
    inputs: keras.KerasTensor, features: keras.KerasTensor, side: int, units: int
) -> keras.KerasTensor:
    """Decode the features into the evidence map: float32 `[n, side/4, side/4, 1]` in 0..1."""
    x = _lateral(features, units, "evidence_32")
    for stride in (16, 8, EVIDENCE_STRIDE):
        skip = _last_feature_map(inputs, features, side // stride)
        x = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"evidence_up_{stride}")(x)
        lateral = _lateral(skip, units, f"evidence_{stride}")
        x = keras.layers.Add(name=f"evidence_add_{stride}")([x, lateral])
        x = keras.layers.ReLU(name=f"evidence_relu_{stride}")(x)
    x = keras.layers.SeparableConv2D(
        units, 3, padding="same", use_bias=False, name="evidence_conv"
    )(x)
    x = _batch_normalized(x, "evidence_bn")
    x = keras.layers.ReLU(name="evidence_relu")(x)
    return keras.layers.Conv2D(
        1, 1, activation="sigmoid", bias_initializer=_INITIAL_LOGIT, dtype="float32", name=EVIDENCE
    )(x)


def _lateral(x: keras.KerasTensor, units: int, name: str) -> keras.KerasTensor:
    x = keras.layers.Conv2D(units, 1, use_bias=False, name=f"{name}_conv")(x)
    return _batch_normalized(x, f"{name}_bn")


def _batch_normalized(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.BatchNormalization(momentum=_BATCH_NORM_MOMENTUM, name=name)(x)


def _last_feature_map(
    inputs: keras.KerasTensor, features: keras.KerasTensor, side: int
) -> keras.KerasTensor:
    """Return the last feature map before `features` whose side is ``side``."""
    layers = keras.Model(inputs, features).layers
    return [layer.output for layer in layers if layer.output.shape[1] == side][-1]
