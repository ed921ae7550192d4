"""From the last feature map to one vector: its mean, and its mean where the evidence lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras  # noqa: TID253

from tumorml.recipes.networks import EVIDENCE, EVIDENCE_STRIDE

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe

_BATCH_NORM_MOMENTUM = 0.9

# A tumour takes a few of a hundred places: a map that begins grey needs many steps to grow dark
# (Lin et al. 2017, arXiv:1708.02002, section 4.1).
_MOSTLY_DARK = keras.initializers.Constant(-3.0)


def pooled(
    inputs: keras.KerasTensor, features: keras.KerasTensor, recipe: Recipe
) -> keras.KerasTensor:
    """The last feature map, averaged over the picture.

    With `recipe.evidence` a small decoder (a feature pyramid after Lin et al. 2017,
    arXiv:1612.03144) brings the features back to a quarter of the input's side and makes one map of
    them, `evidence`; beside the mean of the last feature map its mean weighted by that map is
    classified. So the map explains the decision by taking part in it. (By the weighted mean alone
    the decision lacks what surrounds a tumour, and was right less often.)

    Args:
        inputs: of the network.
        features: `[n, S/32, S/32, channels]`.
        recipe: its `evidence` counts.

    Returns:
        float32 `[n, channels]`, or with `recipe.evidence` `[n, 2 * channels]`, of the layer `pool`.
    """
    if recipe.evidence is None:
        return keras.layers.GlobalAveragePooling2D(name="pool")(features)
    side = recipe.input_size
    x = _lateral(features, recipe.evidence.units, "evidence_32")
    for stride in (16, 8, EVIDENCE_STRIDE):
        tap = _last_at(inputs, features, side // stride)
        x = keras.layers.UpSampling2D(2, interpolation="bilinear", name=f"evidence_up_{stride}")(x)
        lateral = _lateral(tap, recipe.evidence.units, f"evidence_{stride}")
        x = keras.layers.Add(name=f"evidence_add_{stride}")([x, lateral])
        x = keras.layers.ReLU(name=f"evidence_relu_{stride}")(x)
    x = keras.layers.SeparableConv2D(
        recipe.evidence.units, 3, padding="same", use_bias=False, name="evidence_conv"
    )(x)
    x = _normalised(x, "evidence_bn")
    x = keras.layers.ReLU(name="evidence_relu")(x)
    evidence = keras.layers.Conv2D(
        1, 1, activation="sigmoid", bias_initializer=_MOSTLY_DARK, dtype="float32", name=EVIDENCE
    )(x)
    cell = 32 // EVIDENCE_STRIDE
    weights = keras.layers.AveragePooling2D(cell, dtype="float32", name="evidence_weights")(
        evidence
    )
    seen = keras.layers.Multiply(dtype="float32", name="evidence_seen")([features, weights])
    total = keras.layers.GlobalAveragePooling2D(dtype="float32", name="evidence_total")(weights)
    mean = keras.layers.GlobalAveragePooling2D(dtype="float32", name="evidence_mean")(seen)
    there = keras.ops.divide(mean, total + keras.config.epsilon())
    everywhere = keras.layers.GlobalAveragePooling2D(dtype="float32", name="mean")(features)
    return keras.layers.Concatenate(dtype="float32", name="pool")([everywhere, there])


def _lateral(x: keras.KerasTensor, units: int, name: str) -> keras.KerasTensor:
    x = keras.layers.Conv2D(units, 1, use_bias=False, name=f"{name}_conv")(x)
    return _normalised(x, f"{name}_bn")


def _normalised(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.BatchNormalization(momentum=_BATCH_NORM_MOMENTUM, name=name)(x)


def _last_at(
    inputs: keras.KerasTensor, features: keras.KerasTensor, side: int
) -> keras.KerasTensor:
    """The last feature map of a resolution."""
    layers = keras.Model(inputs, features).layers
    return [layer.output for layer in layers if layer.output.shape[1] == side][-1]
