"""A sheet of what each layer makes of a scan."""

from __future__ import annotations

import io

import keras  # noqa: TID253
import numpy as np
import pytest
from PIL import Image

from tests.factories.blobs import blobs
from tumorml.explain.feature_maps import MOST_MAPS, feature_maps, sheet_png
from tumorml.recipes.networks import build_network
from tumorml.recipes.recipe import load_recipe


@pytest.mark.parametrize(
    ("name", "sides"),
    [("simple-cnn", [32, 16, 8]), ("efficientnet-lite0", [32, 16, 8, 4, 2])],
)
def test_each_resolution_is_there_once_and_the_last_is_what_is_classified(
    name: str, sides: list[int]
) -> None:
    recipe = load_recipe(name).varied(input_size=64, weights="none")
    model = build_network(recipe, 4, seed=1)
    maps = feature_maps(model, blobs(1, 64, seed=1)[0].images[0])
    assert [values.shape[0] for values in maps.values()] == sides
    assert list(maps)[-1] == "features"
    sheet = Image.open(io.BytesIO(sheet_png(maps)))
    assert sheet.mode == "RGB" and sheet.width == 804


@pytest.mark.parametrize("strides", [1, 2])
def test_a_network_of_one_resolution_has_a_sheet(strides: int) -> None:
    scan = keras.Input((8, 8, 1))
    features = keras.layers.Conv2D(3, 3, strides, padding="same", name="features")(scan)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    model = keras.Model(scan, keras.layers.Dense(2)(pooled))
    maps = feature_maps(model, np.zeros((8, 8), np.uint8))
    side = 8 // strides
    assert {name: values.shape for name, values in maps.items()} == {"features": (side, side, 3)}
    assert sheet_png(maps)


def test_a_bright_map_is_bright_and_few_are_shown_of_many() -> None:
    values = np.zeros((4, 4, 100), np.float32)
    values[0, 0, 99] = 1.0
    pixels = np.asarray(Image.open(io.BytesIO(sheet_png({"layer": values}))))
    bright = (pixels == [253, 231, 36]).all(-1)
    assert bright.sum() == (96 // 4) ** 2, "one place of one map"
    assert MOST_MAPS < 100


def test_a_dead_layer_is_a_dark_block() -> None:
    pixels = np.asarray(
        Image.open(io.BytesIO(sheet_png({"dead": np.zeros((8, 8, 4), np.float32)})))
    )
    assert (pixels == [68, 1, 84]).all(-1).sum() == 4 * 96 * 96
