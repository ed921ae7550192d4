"""The examples in the how-to pages work as they are printed."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

import pytest

from tests.factories.small_recipes import small_recipe
from tumorml.recipes.load_recipe import load_recipe
from tumorml.recipes.networks.build_network import build_network
from tumorml.recipes.registry import NETWORKS, RegisteredNetwork

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


def first_example(page: str, language: str) -> str:
    """The first code block of a language in a page."""
    text = (HOW_TO / page).read_text()
    block = re.search(rf"^ *```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    return textwrap.dedent(block[1])


def test_recipe_of_the_how_to_page_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "mri-small.toml"
    path.write_text(first_example("add-a-recipe.md", "toml"))
    recipe = load_recipe(str(path))
    assert (recipe.name, recipe.input_size, recipe.epochs) == ("mri-small", 96, 8)


def test_network_of_the_how_to_page_can_be_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "three_convolutions.py").write_text(first_example("add-a-network.md", "python"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(NETWORKS, "three-convolutions", RegisteredNetwork("three_convolutions"))
    models = [
        build_network(small_recipe("three-convolutions", input_size=size), 2, seed=1)
        for size in (32, 63, 64)
    ]
    sys.modules.pop("three_convolutions")
    model = models[-1]
    names = [layer.name for layer in model.layers]
    assert names[-4:] == ["pool", "dense", "dropout", "logits"]
    filters = [model.get_layer(name).filters for name in ("conv_1", "conv_2", "features")]
    assert filters == [16, 32, 64]
    # An eighth of the input's side, as heatmaps need it.
    assert [each.get_layer("features").output.shape[1] for each in models] == [4, 8, 8]
