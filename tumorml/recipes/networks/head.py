"""The last layers of every network."""

from __future__ import annotations

import keras  # noqa: TID253


def logits_layer(tensor: keras.KerasTensor, class_count: int, *, seed: int) -> keras.KerasTensor:
    """Float32 logits `[n, 1]` of the second of two classes, or `[n, class_count]` of more."""
    return keras.layers.Dense(
        1 if class_count == 2 else class_count,
        kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
        dtype="float32",
        name="logits",
    )(tensor)


def head_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers behind `pool`, in order: what a phase with `trainable = "head"` trains."""
    names = [layer.name for layer in model.layers]
    return list(model.layers[names.index("pool") + 1 :])
