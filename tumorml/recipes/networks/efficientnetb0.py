"""EfficientNetB0 (Tan and Le 2019, arXiv:1905.11946), as Keras builds it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import keras  # noqa: TID253
import numpy as np

from tumorml.recipes.networks.application import classifier_on, load_published_weights

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe

_MEAN = np.array([0.485, 0.456, 0.406])
_STANDARD_DEVIATION = np.array([0.229, 0.224, 0.225])


def build(recipe: Recipe, class_count: int) -> keras.Model:
    """The network, averaged over the picture for the head."""
    # Keras's network divides by 255 itself and then normalises by weights of its own, which stay
    # neutral here: its files hold variances that are none (tensorflow/tensorflow #49930).
    to_imagenet = keras.layers.Rescaling(
        (1.0 / _STANDARD_DEVIATION).tolist(),
        offset=(-255.0 * _MEAN / _STANDARD_DEVIATION).tolist(),
        name="to_imagenet_range",
    )
    application = keras.applications.EfficientNetB0
    return classifier_on(application, to_imagenet, recipe, class_count, name="efficientnetb0")


def load_published(model: keras.Model, path: Path) -> None:
    """Put Keras's published weights without the top into the network.

    Raises:
        TumorMLError: the file holds other weights.
    """
    load_published_weights(model, keras.applications.EfficientNetB0, path)
