"""Classifiers on a network of `keras.applications`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import keras  # noqa: TID253

from tumorml.errors import TumorMLError
from tumorml.recipes.networks.copy_layers import copy_layers
from tumorml.recipes.networks.head import add_head
from tumorml.recipes.networks.layer_names import FEATURES
from tumorml.recipes.networks.pool_features import pool_features

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe


def build_classifier(
    application: Callable[..., keras.Model],
    to_input_range: keras.layers.Layer,
    recipe: Recipe,
    class_count: int,
    *,
    name: str,
) -> keras.Model:
    """Build a classifier of scans on a Keras network with random weights.

    Args:
        application: Function of `keras.applications`, such as `keras.applications.ResNet50V2`.
        to_input_range: Layer that maps RGB in 0..255 to the range that the network's ImageNet
            weights were trained on.
        recipe: Its `input_size`, `evidence` and head are used.
        class_count: At least two.
        name: Name of the model.
    """
    inputs = keras.Input((recipe.input_size, recipe.input_size, 1), name="scan")
    rgb = keras.layers.Concatenate(name="grey_to_rgb")([inputs, inputs, inputs])
    backbone = application(include_top=False, weights=None, input_tensor=to_input_range(rgb))
    features = keras.layers.Identity(name=FEATURES)(backbone.output)
    pooled = pool_features(inputs, features, recipe)
    return keras.Model(inputs, add_head(pooled, recipe, class_count), name=name)


def load_application_weights(
    model: keras.Model, application: Callable[..., keras.Model], path: Path
) -> None:
    """Load a file of Keras's published weights (without the top) into a classifier.

    Raises:
        TumorMLError: The file cannot be read, or has the weights of another network.
    """
    published = application(include_top=False, weights=None)
    try:
        published.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise TumorMLError(f"Weights file {path} cannot be loaded: {error}") from error
    copy_layers(published, model, str(path))
