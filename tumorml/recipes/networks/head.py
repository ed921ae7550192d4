"""The last layers of every network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras  # noqa: TID253

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe


def classifier(x: keras.KerasTensor, recipe: Recipe, class_count: int) -> keras.KerasTensor:
    """A dense layer and dropout, where the recipe asks for them, and the logits.

    Args:
        x: `[n, features]`.
        recipe: its `dense_units`, `dropout` and `regularization` count.
        class_count: at least two.
    """
    if recipe.dense_units is not None:
        x = keras.layers.Dense(
            recipe.dense_units,
            activation="relu",
            kernel_initializer="he_uniform",
            kernel_regularizer=regularizer(recipe),
            name="dense",
        )(x)
    if recipe.dropout > 0:
        x = keras.layers.Dropout(recipe.dropout, name="dropout")(x)
    return logits_layer(x, class_count, regularizer(recipe))


def logits_layer(
    x: keras.KerasTensor,
    class_count: int,
    kernel_regularizer: keras.regularizers.Regularizer | None = None,
) -> keras.KerasTensor:
    """Float32 logits `[n, 1]` of the second of two classes, or `[n, class_count]` of more."""
    outputs = 1 if class_count == 2 else class_count
    return keras.layers.Dense(
        outputs, kernel_regularizer=kernel_regularizer, dtype="float32", name="logits"
    )(x)


def regularizer(recipe: Recipe) -> keras.regularizers.Regularizer | None:
    """What the recipe adds to the loss for each new kernel; None where it adds nothing."""
    of = recipe.regularization
    return keras.regularizers.L1L2(l1=of.l1, l2=of.l2) if of.l1 or of.l2 else None


def head_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """What a phase with `trainable = "head"` trains, in order.

    The layers behind `pool`, and those of the evidence map.
    """
    names = [layer.name for layer in model.layers]
    behind = names.index("pool")
    return [
        layer
        for index, layer in enumerate(model.layers)
        if index > behind or layer.name.startswith("evidence")
    ]
