"""Copy weights from one network to another, layer by layer."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import keras  # noqa: TID253
import numpy as np

from tumorml.errors import TumorMLError
from tumorml.recipes.networks.head import head_layers


def load_saved_network(model: keras.Model, path: Path) -> None:
    """Copy the backbone's weights from a model saved as .keras.

    Raises:
        TumorMLError: The file cannot be loaded, or a layer is missing there or has other shapes.
    """
    copy_layers(load_keras(path), model, str(path))


def load_keras(path: Path) -> keras.Model:
    """Load a model saved as .keras.

    Raises:
        TumorMLError: The file cannot be loaded.
    """
    try:
        return keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise TumorMLError(f"Weights file {path} cannot be loaded: {error}") from error


def copy_layers(source: keras.Model, model: keras.Model, source_name: str) -> None:
    """Copy the weights of the backbone from a network with the same layer names.

    Args:
        source: The network to copy from.
        model: The network to change.
        source_name: Name of the source in error messages.

    Raises:
        TumorMLError: A layer is missing in the source, or has other shapes there.
    """
    arrays = {layer.name: layer.get_weights() for layer in source.layers}
    for layer in backbone_layers(model):
        if layer.name not in arrays:
            raise TumorMLError(f"Weights file {source_name} has no layer {layer.name}.")
        set_layer_weights(layer, arrays[layer.name], source_name)


def backbone_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers before the head that have weights.

    Keras's `Normalization` layers are left out, because their weights stay at neutral values.
    """
    head = {layer.name for layer in head_layers(model)}
    return [
        layer
        for layer in model.layers
        if layer.weights
        and layer.name not in head
        and not isinstance(layer, keras.layers.Normalization)
    ]


def set_layer_weights(
    layer: keras.layers.Layer, arrays: list[np.ndarray], source_name: str
) -> None:
    """Set the weights of a layer.

    Args:
        layer: The layer to change.
        arrays: One array for each of its weights, in order.
        source_name: Name of the arrays' source in error messages.

    Raises:
        TumorMLError: The arrays have other shapes than the layer's weights.
    """
    expected = [tuple(weight.shape) for weight in layer.weights]
    actual = [array.shape for array in arrays]
    if expected != actual:
        raise TumorMLError(
            f"Layer {layer.name} has shapes {expected}, but {source_name} has {actual}."
        )
    layer.set_weights(arrays)
