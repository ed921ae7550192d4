"""Recipes of small networks, for tests that build a network or train it for a moment."""

from __future__ import annotations

from tumorml.recipes.recipe import Recipe
from tumorml.recipes.registry import NETWORKS
from tumorml.recipes.sections import Evidence, Phase


def small_recipe(network: str, **fields: object) -> Recipe:
    """A recipe of a registered network with random weights, 64 px and one epoch.

    Args:
        network: Its name in the registry.
        fields: Values that replace those of the small recipe.
    """
    recipe = Recipe(
        name="small",
        description="A small network for tests",
        network=network,
        input_size=64,
        dense_units=16,
        dropout=0.2,
        batch_size=16,
        evidence=Evidence(units=8) if NETWORKS[network].has_evidence_map else None,
        phases=(Phase(name="all", epochs=1, learning_rate=1e-3),),
    )
    return recipe.with_fields(**fields)
