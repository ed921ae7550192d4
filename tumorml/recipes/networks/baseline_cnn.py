"""The small network that every other has to beat: convolution, pooling, dense."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras  # noqa: TID253

from tumorml.recipes.networks.cnn import small_cnn

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe


def build(recipe: Recipe, class_count: int) -> keras.Model:
    """Three convolutions of 16, 32 and 64 maps."""
    return small_cnn(recipe, class_count, (16, 32, 64), name="baseline_cnn")
