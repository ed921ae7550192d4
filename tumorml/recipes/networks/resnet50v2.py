"""ResNet50V2 (He et al. 2016, arXiv:1603.05027), built by Keras."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import keras  # noqa: TID253

from tumorml.recipes.networks.application import build_classifier, load_application_weights

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe


def build(recipe: Recipe, class_count: int) -> keras.Model:
    """Build ResNet50V2 with the head of the recipe."""
    # Its ImageNet weights were trained on pixels in -1..1.
    to_input_range = keras.layers.Rescaling(1.0 / 127.5, offset=-1.0, name="to_symmetric_range")
    application = keras.applications.ResNet50V2
    return build_classifier(application, to_input_range, recipe, class_count, name="resnet50v2")


def load_published(model: keras.Model, path: Path) -> None:
    """Load Keras's published weights (without the top) into the network.

    Raises:
        TumorMLError: The file cannot be read, or has the weights of another network.
    """
    load_application_weights(model, keras.applications.ResNet50V2, path)
