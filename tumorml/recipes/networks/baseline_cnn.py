"""The small network that every other has to beat: convolution, pooling, dense."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras  # noqa: TID253

from tumorml.errors import TumorMLError
from tumorml.recipes.networks.head import logits_layer
from tumorml.recipes.pretrained import load_layers_by_name

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe

_FILTERS = (16, 32, 64, 64)
_DENSE_UNITS = 64


def build(recipe: Recipe, class_count: int, *, seed: int) -> keras.Model:
    """Four 3x3 convolutions with 2x2 pooling between them, one dense layer, the logits.

    Raises:
        TumorMLError: the recipe names weights other than "none" or a fitting .keras file.
    """
    inputs = keras.Input((recipe.input_size, recipe.input_size, 1), name="scan")
    x = keras.layers.Rescaling(1.0 / 255.0, name="to_unit_range")(inputs)
    for index, filters in enumerate(_FILTERS):
        if index:
            x = keras.layers.MaxPooling2D(2, name=f"pool_{index}")(x)
        x = keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            kernel_initializer=keras.initializers.HeUniform(seed=seed + index),
            name=f"conv_{index + 1}",
        )(x)
        last = index == len(_FILTERS) - 1
        x = keras.layers.ReLU(name="features" if last else f"relu_{index + 1}")(x)
    x = keras.layers.MaxPooling2D(2, name="pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(
        _DENSE_UNITS,
        activation="relu",
        kernel_initializer=keras.initializers.HeUniform(seed=seed + len(_FILTERS)),
        name="dense",
    )(x)
    if recipe.dropout > 0:
        x = keras.layers.Dropout(recipe.dropout, seed=seed, name="dropout")(x)
    model = keras.Model(inputs, logits_layer(x, class_count, seed=seed), name="baseline_cnn")
    if recipe.weights.endswith(".keras"):
        load_layers_by_name(model, recipe.weights)
    elif recipe.weights != "none":
        raise TumorMLError(
            f"Recipe {recipe.name}: the network baseline-cnn has no weights {recipe.weights!r}; "
            'give "none", or the path of a .keras file that it was saved to.'
        )
    return model
