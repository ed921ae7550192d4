"""The head of every network: the layers after the pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras  # noqa: TID253

from tumorml.recipes.networks.layer_names import LOGITS, POOL

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe


def add_head(x: keras.KerasTensor, recipe: Recipe, class_count: int) -> keras.KerasTensor:
    """Add the recipe's optional dense layer and dropout, then the logits.

    Args:
        x: `[n, features]`.
        recipe: Its `dense_units`, `dropout` and `regularization` are used.
        class_count: At least two.

    Returns:
        float32 logits as `add_logits` returns them.
    """
    if recipe.dense_units is not None:
        x = keras.layers.Dense(
            recipe.dense_units,
            activation="relu",
            kernel_initializer="he_uniform",
            kernel_regularizer=kernel_regularizer(recipe),
            name="dense",
        )(x)
    if recipe.dropout > 0:
        x = keras.layers.Dropout(recipe.dropout, name="dropout")(x)
    return add_logits(x, class_count, kernel_regularizer(recipe))


def add_logits(
    x: keras.KerasTensor,
    class_count: int,
    regularizer: keras.regularizers.Regularizer | None = None,
) -> keras.KerasTensor:
    """Add float32 logits: `[n, 1]`, the second of two classes, or `[n, class_count]` for more."""
    outputs = 1 if class_count == 2 else class_count
    return keras.layers.Dense(
        outputs, kernel_regularizer=regularizer, dtype="float32", name=LOGITS
    )(x)


def kernel_regularizer(recipe: Recipe) -> keras.regularizers.Regularizer | None:
    """Return the regularizer of kernels that are not pretrained; None without a penalty."""
    penalty = recipe.regularization
    return (
        keras.regularizers.L1L2(l1=penalty.l1, l2=penalty.l2) if penalty.l1 or penalty.l2 else None
    )


def head_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers that a phase with `trainable = "head"` trains, in order.

    They are the layers after `pool` and those of the evidence map.
    """
    names = [layer.name for layer in model.layers]
    pool_index = names.index(POOL)
    return [
        layer
        for index, layer in enumerate(model.layers)
        if index > pool_index or layer.name.startswith("evidence")
    ]
