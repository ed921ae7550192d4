"""Served models have the outputs of the network, with LiteRT and with TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.factories.blobs import tiny_recipe
from tumorml.explain.heatmaps import explain, heatmap_of
from tumorml.labels import LABELS, Task
from tumorml.models.calibration import Calibration
from tumorml.models.predictor import Predictor
from tumorml.models.served import KerasServed, LiteServed, Served, write_lite
from tumorml.recipes.load_recipe import load_recipe, recipe_names
from tumorml.recipes.networks.build_network import build_network

# ResNet50V2 is excluded: it is the largest network, with 24 million parameters, and slow to export.
# A new recipe is tested by default; exclude it only if its network is as large.
RECIPES = [name for name in recipe_names() if name != "resnet50v2"]
INPUT_SIZES = {"batchnorm-cnn": 30, "efficientnet-lite0": 64}
"""Input sizes other than 32 pixels: one that is no multiple of 4, and a larger evidence map."""


def predictor_of(name: str, task: Task) -> Predictor:
    recipe = load_recipe(name).with_fields(
        input_size=INPUT_SIZES.get(name, 32), weights="none", batch_normalization="adapt"
    )
    return Predictor(
        build_network(recipe, len(LABELS[task]), seed=1),
        task,
        Calibration(1.7, 0.4 if task is Task.BINARY else None),
        test_time_flip=recipe.test_time_flip,
    )


def images_of(predictor: Predictor, count: int) -> np.ndarray:
    shape = (count, predictor.input_size, predictor.input_size)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("name", RECIPES)
def test_served_model_gives_the_networks_output(name: str, task: Task, tmp_path: Path) -> None:
    predictor = predictor_of(name, task)
    write_lite(predictor, tmp_path / "model.tflite")
    lite = LiteServed(tmp_path / "model.tflite", task, predictor.calibration)
    by_keras = KerasServed(predictor)
    for count in (1, 3, 2):
        images = images_of(predictor, count)
        expected = predictor.predict(images)
        one, other = by_keras.run(images), lite.run(images)
        for served, seen in ((by_keras, one), (lite, other)):
            assert served.input_size == predictor.input_size
            np.testing.assert_allclose(served.calibrated(seen.logits), expected, atol=1e-5)
        np.testing.assert_allclose(other.features, one.features, rtol=1e-4, atol=1e-4)
        if one.evidence is None or other.evidence is None:
            assert one.evidence is other.evidence is None
        else:
            np.testing.assert_allclose(other.evidence, one.evidence, atol=1e-5)


def test_served_evidence_equals_the_heatmap_of_explain(tmp_path: Path) -> None:
    predictor = predictor_of("efficientnet-lite0", Task.FOUR_CLASS)
    images = images_of(predictor, 3)
    served: Served = KerasServed(predictor)
    evidence = served.run(images).evidence
    assert evidence is not None
    assert evidence.shape == (3, 16, 16)
    side = predictor.input_size
    for small, expected in zip(evidence, explain(predictor, images).maps, strict=True):
        np.testing.assert_allclose(heatmap_of(small, side), expected, atol=1e-5)


def test_served_model_without_test_time_flip(tmp_path: Path) -> None:
    predictor = Predictor(build_network(tiny_recipe(), 4, seed=2), Task.FOUR_CLASS)
    write_lite(predictor, tmp_path / "model.tflite")
    lite = LiteServed(tmp_path / "model.tflite", Task.FOUR_CLASS, predictor.calibration)
    images = images_of(predictor, 5)
    np.testing.assert_allclose(lite.predict(images), predictor.predict(images), atol=1e-5)
