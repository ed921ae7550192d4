"""Feature maps and their sheet."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.factories.blobs import blob_arrays
from tumorml.explain.feature_maps import MOST_MAPS, feature_maps, sheet_png
from tumorml.recipes.load_recipe import load_recipe
from tumorml.recipes.networks.build_network import build_network


@pytest.mark.parametrize(
    ("name", "sides"),
    [("simple-cnn", [32, 16, 8]), ("efficientnet-lite0", [32, 16, 8, 4, 2])],
)
def test_each_resolution_appears_once_and_features_last(name: str, sides: list[int]) -> None:
    recipe = load_recipe(name).with_fields(input_size=64, weights="none")
    model = build_network(recipe, 4, seed=1)
    maps = feature_maps(model, blob_arrays(1, 64, seed=1)[0][0])
    assert [values.shape[0] for values in maps.values()] == sides
    assert list(maps)[-1] == "features"
    sheet = Image.open(io.BytesIO(sheet_png(maps)))
    assert sheet.mode == "RGB" and sheet.width == 804


@pytest.mark.parametrize("strides", [1, 2])
def test_network_of_one_resolution_has_a_sheet(strides: int) -> None:
    import keras

    scan = keras.Input((8, 8, 1))
    features = keras.layers.Conv2D(3, 3, strides, padding="same", name="features")(scan)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    model = keras.Model(scan, keras.layers.Dense(2)(pooled))
    maps = feature_maps(model, np.zeros((8, 8), np.uint8))
    side = 8 // strides
    assert {name: values.shape for name, values in maps.items()} == {"features": (side, side, 3)}
    assert Image.open(io.BytesIO(sheet_png(maps))).size == (804, 128)


def test_sheet_shows_the_brightest_of_many_maps() -> None:
    values = np.zeros((4, 4, 100), np.float32)
    values[0, 0, 99] = 1.0
    pixels = np.asarray(Image.open(io.BytesIO(sheet_png({"layer": values}))))
    bright = (pixels == [253, 231, 36]).all(-1)
    assert bright.sum() == (96 // 4) ** 2, "one pixel of one map"
    assert len(pixels) == 24 + 4 + 100 * MOST_MAPS // 8


def test_dead_layer_is_a_dark_block() -> None:
    pixels = np.asarray(
        Image.open(io.BytesIO(sheet_png({"dead": np.zeros((8, 8, 4), np.float32)})))
    )
    assert (pixels == [68, 1, 84]).all(-1).sum() == 4 * 96 * 96
