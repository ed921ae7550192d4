"""Networks that Keras builds (`keras.applications`), with the input and the head of all others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import keras  # noqa: TID253

from tumorml.errors import TumorMLError
from tumorml.recipes.networks.copy_layers import copy_layers
from tumorml.recipes.networks.head import classifier
from tumorml.recipes.networks.pooling import pooled

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe


def classifier_on(
    application: Callable[..., keras.Model],
    to_range: keras.layers.Layer,
    recipe: Recipe,
    class_count: int,
    *,
    name: str,
) -> keras.Model:
    """A classifier of scans on one of Keras's networks.

    Args:
        application: such as `keras.applications.ResNet50V2`.
        to_range: brings RGB in 0..255 into the range that the network's weights know.
        recipe: its `input_size` and head count.
        class_count: at least two.
        name: of the model.
    """
    inputs = keras.Input((recipe.input_size, recipe.input_size, 1), name="scan")
    rgb = keras.layers.Concatenate(name="grey_to_rgb")([inputs, inputs, inputs])
    backbone = application(include_top=False, weights=None, input_tensor=to_range(rgb))
    x = keras.layers.Identity(name="features")(backbone.output)
    x = pooled(inputs, x, recipe)
    return keras.Model(inputs, classifier(x, recipe, class_count), name=name)


def load_published_weights(
    model: keras.Model, application: Callable[..., keras.Model], path: Path
) -> None:
    """Put a file of Keras's published weights, without the top, into a classifier.

    Raises:
        TumorMLError: the file cannot be read, or holds another network's weights.
    """
    published = application(include_top=False, weights=None)
    try:
        published.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise TumorMLError(f"Weights file {path} cannot be loaded: {error}") from error
    copy_layers(published, model, str(path))
