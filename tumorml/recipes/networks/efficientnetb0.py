"""EfficientNetB0 (Tan and Le 2019, arXiv:1905.11946), built by Keras."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import keras  # noqa: TID253
import numpy as np

from tumorml.recipes.networks.application import build_classifier, load_application_weights

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe

_MEAN = np.array([0.485, 0.456, 0.406])
_STANDARD_DEVIATION = np.array([0.229, 0.224, 0.225])


def build(recipe: Recipe, class_count: int) -> keras.Model:
    """Build EfficientNetB0 with the head of the recipe."""
    # Keras's network divides by 255 and then normalizes with weights of its own. Those stay at
    # their neutral initial values here, because the published file has wrong variances
    # (tensorflow/tensorflow #49930).
    to_input_range = keras.layers.Rescaling(
        (1.0 / _STANDARD_DEVIATION).tolist(),
        offset=(-255.0 * _MEAN / _STANDARD_DEVIATION).tolist(),
        name="to_imagenet_range",
    )
    application = keras.applications.EfficientNetB0
    return build_classifier(application, to_input_range, recipe, class_count, name="efficientnetb0")


def load_published(model: keras.Model, path: Path) -> None:
    """Load Keras's published weights (without the top) into the network.

    Raises:
        TumorMLError: The file cannot be read, or has the weights of another network.
    """
    load_application_weights(model, keras.applications.EfficientNetB0, path)
