"""The networks that recipes name; each is built by the module of its name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import keras

    from tumorml.recipes.recipe import Recipe

NETWORKS: dict[str, str] = {
    "efficientnet-lite0": "tumorml.recipes.networks.efficientnet_lite0",
    "efficientnetb0": "tumorml.recipes.networks.efficientnetb0",
    "resnet50v2": "tumorml.recipes.networks.resnet50v2",
    "batchnorm-cnn": "tumorml.recipes.networks.batchnorm_cnn",
    "baseline-cnn": "tumorml.recipes.networks.baseline_cnn",
    "simple-cnn": "tumorml.recipes.networks.simple_cnn",
}
"""A recipe's `network` and the module that builds it, imported only then."""

EVIDENCE = "evidence"
"""The layer, where there is one, that gives float32 `[n, S/4, S/4, 1]` in 0..1: where the decision
is taken from."""
EVIDENCE_STRIDE = 4
"""Input pixels to a place of that map. At 8, small tumours had too few places."""


def build_network(
    recipe: Recipe, class_count: int, *, seed: int, weights: Path | None = None
) -> keras.Model:
    """Build a recipe's network.

    Sets the global seeds of Python, NumPy and TensorFlow.

    Args:
        recipe: what it says of the network, its input, its head and its precision counts.
        class_count: two gives one logit (of the second class), more give one logit each.
        seed: of every weight drawn at random and of dropout.
        weights: what `find_weights` has found: a published file, or a `.keras` file of the same
            network; None for random weights.

    Returns:
        A model from float32 `[n, S, S, 1]`, greyscale in 0..255, to float32 logits `[n, 1]` or
        `[n, class_count]`; normalisation is inside. Its last convolution's activation is the layer
        `features`, then come `pool` and, last, `logits`.

    Raises:
        TumorMLError: the weights cannot be read, or do not fit.
        ValueError: fewer than two classes.
    """
    if class_count < 2:
        raise ValueError(f"a classifier needs at least two classes, not {class_count}")
    import keras

    from tumorml.recipes.networks.copy_layers import load_saved_network

    module = import_module(NETWORKS[recipe.network])
    keras.utils.set_random_seed(seed % 2**32)
    of_others = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.precision)
    try:
        model: keras.Model = module.build(recipe, class_count)
    finally:
        keras.config.set_dtype_policy(of_others)
    if weights is None:
        return model
    if weights.suffix == ".keras":
        load_saved_network(model, weights)
    else:
        module.load_published(model, weights)
    return model
