"""A network with a known heatmap: it measures brightness and nothing else."""

from __future__ import annotations

from tumorml.labels import Task
from tumorml.models.predictor import Predictor


def brightness_meter() -> Predictor:
    """Return a predictor for 64 px whose features are local means.

    Its heatmap is therefore warmest where the scan is brightest.
    """
    import keras

    inputs = keras.Input((64, 64, 1))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.AveragePooling2D(8)(x)
    x = keras.layers.ReLU(name="features")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = keras.layers.Dense(1, kernel_initializer="ones", name="logits")(x)
    return Predictor(keras.Model(inputs, outputs), Task.BINARY)
