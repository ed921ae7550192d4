"""Weights from one network into another, layer by layer."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import keras  # noqa: TID253
import numpy as np

from tumorml.errors import TumorMLError
from tumorml.recipes.networks.head import head_layers


def load_saved_network(model: keras.Model, path: Path) -> None:
    """Copy all layers up to `pool` from a model saved as .keras.

    Raises:
        TumorMLError: the file cannot be loaded, or a layer is missing there or has other shapes.
    """
    copy_layers(load_keras(path), model, str(path))


def load_keras(path: Path) -> keras.Model:
    """A model saved as .keras.

    Raises:
        TumorMLError: the file cannot be loaded.
    """
    try:
        return keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise TumorMLError(f"Weights file {path} cannot be loaded: {error}") from error


def copy_layers(source: keras.Model, model: keras.Model, source_name: str) -> None:
    """Copy all layers up to `pool` from a network that names them alike.

    Raises:
        TumorMLError: a layer is missing there, or has other shapes.
    """
    arrays = {layer.name: layer.get_weights() for layer in source.layers}
    for layer in backbone_layers(model):
        if layer.name not in arrays:
            raise TumorMLError(f"Weights file {source_name} has no layer {layer.name}.")
        set_layer(layer, arrays[layer.name], source_name)


def backbone_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers up to `pool` that have weights, but for the neutral ones of `Normalization`."""
    head = {layer.name for layer in head_layers(model)}
    return [
        layer
        for layer in model.layers
        if layer.weights
        and layer.name not in head
        and not isinstance(layer, keras.layers.Normalization)
    ]


def set_layer(layer: keras.layers.Layer, arrays: list[np.ndarray], source_name: str) -> None:
    """Give a layer its weights.

    Raises:
        TumorMLError: they have other shapes.
    """
    wanted = [tuple(weight.shape) for weight in layer.weights]
    found = [array.shape for array in arrays]
    if wanted != found:
        raise TumorMLError(
            f"Layer {layer.name} has shapes {wanted}, but {source_name} has {found}."
        )
    layer.set_weights(arrays)
