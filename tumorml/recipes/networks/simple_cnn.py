"""A network small enough that a person can look at every feature map it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras  # noqa: TID253

from tumorml.recipes.networks.head import classifier, regularizer

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe

_FILTERS = (8, 16, 32)


def build(recipe: Recipe, class_count: int) -> keras.Model:
    """Three 3x3 convolutions of 8, 16 and 32 maps with 2x2 pooling, averaged for the head."""
    inputs = keras.Input((recipe.input_size, recipe.input_size, 1), name="scan")
    x = keras.layers.Rescaling(1.0 / 255.0, name="to_unit_range")(inputs)
    for number, filters in enumerate(_FILTERS, start=1):
        if number > 1:
            x = keras.layers.MaxPooling2D(2, name=f"pool_{number - 1}")(x)
        x = keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            kernel_initializer="he_uniform",
            kernel_regularizer=regularizer(recipe),
            name=f"conv_{number}",
        )(x)
        last = number == len(_FILTERS)
        x = keras.layers.ReLU(name="features" if last else f"relu_{number}")(x)
    x = keras.layers.AveragePooling2D(4, name="pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    return keras.Model(inputs, classifier(x, recipe, class_count), name="simple_cnn")
