"""Three convolutions, each batch-normalised and pooled, and a dense layer on all their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras  # noqa: TID253

from tumorml.recipes.networks.head import classifier, regularizer

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe

_FILTERS = (8, 16, 32)

# Keras's 0.99 follows a new set of scans through hundreds of steps; early epochs would be judged on
# statistics that belong to random weights.
_BATCH_NORM_MOMENTUM = 0.9


def build(recipe: Recipe, class_count: int) -> keras.Model:
    """Three times 3x3 convolution, batch normalisation, ReLU and 2x2 pooling; then flattened."""
    inputs = keras.Input((recipe.input_size, recipe.input_size, 1), name="scan")
    x = keras.layers.Rescaling(1.0 / 255.0, name="to_unit_range")(inputs)
    for number, filters in enumerate(_FILTERS, start=1):
        x = keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            kernel_regularizer=regularizer(recipe),
            name=f"conv_{number}",
        )(x)
        x = keras.layers.BatchNormalization(momentum=_BATCH_NORM_MOMENTUM, name=f"bn_{number}")(x)
        last = number == len(_FILTERS)
        x = keras.layers.ReLU(name="features" if last else f"relu_{number}")(x)
        x = keras.layers.MaxPooling2D(2, name="pool" if last else f"pool_{number}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    return keras.Model(inputs, classifier(x, recipe, class_count), name="batchnorm_cnn")
