"""Read and set the variables of a network or an optimizer."""

from __future__ import annotations

from pathlib import Path

import keras  # noqa: TID253
import numpy as np

from tumorml.errors import TumorMLError
from tumorml.recipes.networks.copy_layers import load_keras


def read_variables(variables: list[keras.Variable]) -> list[np.ndarray]:
    """Return the values of variables as arrays."""
    return [np.asarray(variable) for variable in variables]


def assign_variables(variables: list[keras.Variable], values: list[np.ndarray]) -> None:
    """Set variables to the values of arrays, in order."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def load_initial_weights(network: keras.Model, path: Path) -> None:
    """Set all weights of a network to those of a saved network with the same architecture.

    Raises:
        TumorMLError: The file cannot be loaded, or its weights have other shapes.
    """
    source = load_keras(path)
    shapes = [tuple(weight.shape) for weight in network.weights]
    source_shapes = [tuple(weight.shape) for weight in source.weights]
    if shapes != source_shapes:
        raise TumorMLError(
            f"Initial weights {path} do not fit the network: they are from another network, "
            "another number of classes, or another version of tumorml. Start from a model version "
            "that this version trained with the same recipe and task, or set warm_start = false."
        )
    network.set_weights(source.get_weights())
