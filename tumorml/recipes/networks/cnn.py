"""Small networks from random weights: convolution and pooling, flattened for the head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras  # noqa: TID253

from tumorml.recipes.networks.head import classifier, regularizer

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe

# Keras's 0.99 follows a new set of scans through hundreds of steps; early epochs would be judged on
# statistics that belong to random weights.
_BATCH_NORM_MOMENTUM = 0.9


def small_cnn(
    recipe: Recipe,
    class_count: int,
    filters: Sequence[int],
    *,
    name: str,
    batch_normalization: bool = False,
) -> keras.Model:
    """3x3 convolutions with ReLU, each followed by 2x2 pooling.

    The first convolution has stride 2: at full resolution a few maps of edges would take half of a
    step's time.

    Args:
        recipe: its `input_size`, `regularization` and head count.
        class_count: at least two.
        filters: of each convolution.
        name: of the model.
        batch_normalization: whether each convolution is normalised before its ReLU.
    """
    inputs = keras.Input((recipe.input_size, recipe.input_size, 1), name="scan")
    x = keras.layers.Rescaling(1.0 / 255.0, name="to_unit_range")(inputs)
    for number, maps in enumerate(filters, start=1):
        last = number == len(filters)
        x = keras.layers.Conv2D(
            maps,
            3,
            strides=2 if number == 1 else 1,
            padding="same",
            use_bias=not batch_normalization,
            kernel_initializer="he_uniform",
            kernel_regularizer=regularizer(recipe),
            name=f"conv_{number}",
        )(x)
        if batch_normalization:
            x = keras.layers.BatchNormalization(momentum=_BATCH_NORM_MOMENTUM, name=f"bn_{number}")(
                x
            )
        x = keras.layers.ReLU(name="features" if last else f"relu_{number}")(x)
        x = keras.layers.MaxPooling2D(2, name="pool" if last else f"pool_{number}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    return keras.Model(inputs, classifier(x, recipe, class_count), name=name)
