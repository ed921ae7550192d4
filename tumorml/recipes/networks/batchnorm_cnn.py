"""Three convolutions, each batch-normalised and pooled, and a dense layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras  # noqa: TID253

from tumorml.recipes.networks.cnn import small_cnn

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe


def build(recipe: Recipe, class_count: int) -> keras.Model:
    """Three times convolution, batch normalisation, ReLU and pooling."""
    return small_cnn(
        recipe, class_count, (8, 16, 32), name="batchnorm_cnn", batch_normalization=True
    )
