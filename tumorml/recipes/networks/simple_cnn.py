"""A network so small that all its feature maps can be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras  # noqa: TID253

from tumorml.recipes.networks.cnn import small_cnn

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe


def build(recipe: Recipe, class_count: int) -> keras.Model:
    """Three convolutions of 16, 32 and 32 maps."""
    return small_cnn(recipe, class_count, (16, 32, 32), name="simple_cnn")
