"""Small convolutional networks, trained from random weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras  # noqa: TID253

from tumorml.recipes.networks.head import add_head, kernel_regularizer
from tumorml.recipes.networks.layer_names import FEATURES, POOL

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe

# With Keras's default of 0.99 the moving statistics take hundreds of steps to adapt; until then,
# epochs would be validated with the statistics of random weights.
_BATCH_NORM_MOMENTUM = 0.9


def build_baseline_cnn(recipe: Recipe, class_count: int) -> keras.Model:
    """Build three convolutions of 16, 32 and 64 filters: the baseline for all other networks."""
    return _build_cnn(recipe, class_count, (16, 32, 64), name="baseline_cnn")


def build_batchnorm_cnn(recipe: Recipe, class_count: int) -> keras.Model:
    """Build three convolutions of 8, 16 and 32 filters with batch normalization."""
    return _build_cnn(
        recipe, class_count, (8, 16, 32), name="batchnorm_cnn", batch_normalization=True
    )


def build_simple_cnn(recipe: Recipe, class_count: int) -> keras.Model:
    """Build three convolutions of 16, 32 and 32 filters: few enough to view each feature map."""
    return _build_cnn(recipe, class_count, (16, 32, 32), name="simple_cnn")


def _build_cnn(
    recipe: Recipe,
    class_count: int,
    filters: Sequence[int],
    *,
    name: str,
    batch_normalization: bool = False,
) -> keras.Model:
    """Build a network of 3x3 convolutions with ReLU, each followed by 2x2 pooling.

    The first convolution has stride 2, because at full resolution it would take half of the time of
    a training step.

    Args:
        recipe: Its `input_size`, `regularization` and head are used.
        class_count: At least two.
        filters: Filters of each convolution.
        name: Name of the model.
        batch_normalization: Whether to normalize each convolution before its ReLU.
    """
    inputs = keras.Input((recipe.input_size, recipe.input_size, 1), name="scan")
    x = keras.layers.Rescaling(1.0 / 255.0, name="to_unit_range")(inputs)
    for number, filter_count in enumerate(filters, start=1):
        is_last = number == len(filters)
        x = keras.layers.Conv2D(
            filter_count,
            3,
            strides=2 if number == 1 else 1,
            padding="same",
            use_bias=not batch_normalization,
            kernel_initializer="he_uniform",
            kernel_regularizer=kernel_regularizer(recipe),
            name=f"conv_{number}",
        )(x)
        if batch_normalization:
            x = keras.layers.BatchNormalization(momentum=_BATCH_NORM_MOMENTUM, name=f"bn_{number}")(
                x
            )
        x = keras.layers.ReLU(name=FEATURES if is_last else f"relu_{number}")(x)
        x = keras.layers.MaxPooling2D(2, name=POOL if is_last else f"pool_{number}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    return keras.Model(inputs, add_head(x, recipe, class_count), name=name)
