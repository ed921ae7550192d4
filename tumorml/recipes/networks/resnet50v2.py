"""ResNet50V2 (He et al. 2016, arXiv:1603.05027), as Keras builds it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import keras  # noqa: TID253

from tumorml.recipes.networks.application import classifier_on, load_published_weights

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe


def build(recipe: Recipe, class_count: int) -> keras.Model:
    """The residual network, averaged over the picture for the head."""
    # Its ImageNet weights were trained on pixels in -1..1.
    to_range = keras.layers.Rescaling(1.0 / 127.5, offset=-1.0, name="to_symmetric_range")
    application = keras.applications.ResNet50V2
    return classifier_on(application, to_range, recipe, class_count, name="resnet50v2")


def load_published(model: keras.Model, path: Path) -> None:
    """Put Keras's published weights without the top into the network.

    Raises:
        TumorMLError: the file holds other weights.
    """
    load_published_weights(model, keras.applications.ResNet50V2, path)
