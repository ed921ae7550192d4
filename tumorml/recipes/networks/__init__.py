"""The networks that recipes name; each is built by the module of its name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

    from tumorml.recipes.recipe import Recipe

NETWORKS: dict[str, str] = {
    "efficientnet-lite0": "tumorml.recipes.networks.efficientnet_lite0",
    "baseline-cnn": "tumorml.recipes.networks.baseline_cnn",
}
"""A recipe's `network` and the module that builds it, imported only then."""


def build_network(recipe: Recipe, class_count: int, *, seed: int) -> keras.Model:
    """Build a recipe's network with the weights that it names.

    Args:
        recipe: its `network`, `input_size`, `weights`, `dropout` and `batch_normalization` count.
        class_count: two gives one logit (of the second class), more give one logit each.
        seed: of every weight drawn at random and of dropout.

    Returns:
        A model from float32 `[n, S, S, 1]`, greyscale in 0..255, to float32 logits `[n, 1]` or
        `[n, class_count]`; normalisation is inside. Its last convolution's activation is the layer
        `features`, then come `pool` and, last, `logits`.

    Raises:
        TumorMLError: the weights are missing or do not fit.
        ValueError: fewer than two classes.
    """
    if class_count < 2:
        raise ValueError(f"a classifier needs at least two classes, not {class_count}")
    return import_module(NETWORKS[recipe.network]).build(recipe, class_count, seed=seed)
