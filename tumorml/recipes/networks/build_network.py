"""Build a recipe's network."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tumorml.recipes.registry import NETWORKS

if TYPE_CHECKING:
    from pathlib import Path

    import keras

    from tumorml.recipes.recipe import Recipe


def build_network(
    recipe: Recipe, class_count: int, *, seed: int, weights: Path | None = None
) -> keras.Model:
    """Build a recipe's network.

    Sets the global seeds of Python, NumPy and TensorFlow.

    Args:
        recipe: Its network, input size, head and precision are used.
        class_count: With two classes the network has one logit, that of the second class; with
            more it has one logit per class.
        seed: Seed of random weights and of dropout.
        weights: Weights file as returned by `find_weights`: a published file, or a `.keras` file of
            the same network; None for random weights.

    Returns:
        A model from float32 `[n, S, S, 1]` (grayscale in 0..255; normalization is part of the
        model) to float32 logits `[n, 1]` or `[n, class_count]`. Its layers include `features` (the
        activation of the last convolution), `pool` and, last, `logits`.

    Raises:
        TumorMLError: The weights cannot be read, or do not fit the network.
        ValueError: There are fewer than two classes.
    """
    if class_count < 2:
        raise ValueError(f"a classifier needs at least two classes, not {class_count}")
    import keras

    from tumorml.recipes.networks.copy_layers import load_saved_network

    network = NETWORKS[recipe.network]
    module = import_module(network.module)
    keras.utils.set_random_seed(seed % 2**32)
    previous_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.precision)
    try:
        model: keras.Model = getattr(module, network.builder)(recipe, class_count)
    finally:
        keras.config.set_dtype_policy(previous_policy)
    if weights is None:
        return model
    if weights.suffix == ".keras":
        load_saved_network(model, weights)
    else:
        module.load_published(model, weights)
    return model
