"""Heatmaps: evidence maps, LayerCAM and Grad-CAM."""

from __future__ import annotations

import gc
import math
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.factories.blobs import blob_arrays, blobs, tiny_recipe
from tests.factories.brightness_network import brightness_meter
from tumorml.explain.heatmaps import Method, _fine_feature_map, explain, heatmaps
from tumorml.labels import Task
from tumorml.models.predictor import Predictor
from tumorml.recipes.find_weights import find_weights
from tumorml.recipes.load_recipe import load_recipe, recipe_names
from tumorml.recipes.networks.build_network import build_network
from tumorml.training.fitting.fit import fit

if TYPE_CHECKING:
    import keras


@pytest.fixture(scope="module")
def blob_finder(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A predictor that has learned to find blobs."""
    recipe = tiny_recipe(input_size=64, label_smoothing=0.0).with_epochs(8)
    folder: Path = tmp_path_factory.mktemp("blob-finder")
    model = fit(
        recipe,
        Task.BINARY,
        blobs(120, 64, seed=1)[0],
        blobs(40, 64, seed=2)[0],
        checkpoint_dir=folder,
        seed=3,
        on_epoch=lambda record: None,
    )
    return Predictor(model, Task.BINARY)


def test_map_of_a_brightness_meter_is_hottest_on_the_blob() -> None:
    """The features are local means, so a shift between map and scan would move the maximum."""
    predictor = brightness_meter()
    images, labels, inside = blob_arrays(40, 64, seed=4)
    images, inside = images[labels == 1], inside[labels == 1]
    maps = heatmaps(predictor, images, np.ones(len(images)))
    hottest = maps.reshape(len(maps), -1).argmax(axis=1)
    assert all(place.ravel()[index] for place, index in zip(inside, hottest, strict=True))
    assert heatmaps(predictor, images, np.zeros(len(images))).max() == 0.0


def test_map_of_a_trained_network_is_warmer_on_the_blob(
    blob_finder: Predictor,
) -> None:
    """The map is warmer on average only, because the network also uses the rim of the blob."""
    images, labels, inside = blob_arrays(40, 64, seed=4)
    images, inside = images[labels == 1], inside[labels == 1]
    assert np.mean(blob_finder.predict(images)[:, 1] > 0.5) > 0.9
    maps = heatmaps(blob_finder, images, np.ones(len(images)))
    on_blob = [float(heat[place].mean()) for heat, place in zip(maps, inside, strict=True)]
    off_blob = [float(heat[~place].mean()) for heat, place in zip(maps, inside, strict=True)]
    assert np.mean(on_blob) > 1.3 * np.mean(off_blob)


def test_classes_of_a_binary_model_have_different_maps(
    blob_finder: Predictor,
) -> None:
    images = blob_arrays(8, 64, seed=5)[0]
    tumor = heatmaps(blob_finder, images, np.ones(8))
    no_tumor = heatmaps(blob_finder, images, np.zeros(8))
    assert np.abs(tumor - no_tumor).mean() > 0.05


def test_batch_size_does_not_change_maps(blob_finder: Predictor) -> None:
    images = blob_arrays(6, 64, seed=6)[0]
    classes = np.array([0, 1, 1, 0, 1, 0])
    np.testing.assert_allclose(
        explain(blob_finder, images, classes, batch_size=4).maps,
        heatmaps(blob_finder, images, classes),
        atol=1e-4,
    )
    assert heatmaps(blob_finder, images[:0], classes[:0]).shape == (0, 64, 64)


def test_grad_cam_of_a_linear_head_is_the_class_activation_map() -> None:
    """Selvaraju et al. 2017, section 3.1: a linear head after average pooling."""
    import keras

    recipe = load_recipe("efficientnet-lite0").with_fields(input_size=64, evidence=None)
    model = build_network(recipe, 4, seed=1, weights=find_weights(recipe))
    predictor = Predictor(model, Task.FOUR_CLASS)
    images = blob_arrays(4, 64, seed=7)[0]
    classes = np.array([0, 1, 2, 3])
    maps = explain(predictor, images, classes, method="grad-cam", layer="features").maps
    assert maps.shape == (4, 64, 64)
    assert maps.dtype == np.float32
    assert maps.min() >= 0.0
    assert maps.max() == 1.0

    trunk = keras.Model(model.inputs[0], model.get_layer("features").output)
    features = np.asarray(trunk(images.astype(np.float32)[..., None], training=False))
    kernel = model.get_layer("logits").get_weights()[0]
    cam = np.maximum(np.einsum("nhwc,nc->nhw", features, kernel.T[classes]), 0)
    resized = np.asarray(keras.ops.image.resize(cam[..., None], (64, 64)))[..., 0]
    # A map without evidence stays all zero.
    highest = np.maximum(resized.max((1, 2), keepdims=True), 1e-12)
    np.testing.assert_allclose(maps, resized / highest, atol=1e-4)


def test_map_with_test_time_flip_is_a_mean_of_orientations() -> None:
    model = build_network(tiny_recipe(), 2, seed=1)
    images, classes = blob_arrays(4, 32, seed=7)[0], np.array([0, 1, 0, 1])
    predictor = Predictor(model, Task.BINARY, test_time_flip=True)
    maps = heatmaps(predictor, images, classes)
    mirrored = heatmaps(predictor, images[:, :, ::-1], classes)
    np.testing.assert_allclose(maps, mirrored[:, :, ::-1], atol=1e-5)
    assert np.abs(maps - heatmaps(Predictor(model, Task.BINARY), images, classes)).max() > 0.01


@pytest.mark.parametrize("flip", [False, True])
def test_explained_predictions_equal_those_of_the_predictor(
    blob_finder: Predictor, flip: bool
) -> None:
    predictor = Predictor(blob_finder.model, Task.BINARY, test_time_flip=flip)
    images = blob_arrays(6, 64, seed=6)[0]
    explained = explain(predictor, images)
    np.testing.assert_allclose(explained.probabilities, predictor.predict(images), atol=1e-6)
    np.testing.assert_array_equal(explained.classes, predictor.decide(predictor.predict(images)))
    again = heatmaps(predictor, images, explained.classes)
    np.testing.assert_allclose(explained.maps, again, atol=1e-6)


def maps_through_the_whole_network(
    model: keras.Model, layer: str, method: Method, images: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """Compute maps with one gradient tape for each scan, through the entire network."""
    import keras
    import tensorflow as tf

    network = keras.Model(model.inputs[0], [model.get_layer(layer).output, model.outputs[0]])
    expected = []
    for image, label in zip(images, classes, strict=True):
        with tf.GradientTape() as tape:
            features, logits = network(image[None, ..., None].astype(np.float32), training=False)
            if logits.shape[-1] == 1:
                score = logits[:, 0] if label else -logits[:, 0]
            else:
                score = logits[:, label]
        gradient = tape.gradient(score, features)
        weights = (
            tf.nn.relu(gradient)
            if method == "layer-cam"
            else tf.reduce_mean(gradient, [1, 2], keepdims=True)
        )
        cam = tf.nn.relu(tf.reduce_sum(weights * features, -1, keepdims=True))
        cam = tf.image.resize(cam, images.shape[1:])[0, ..., 0].numpy()
        expected.append(cam / max(cam.max(), 1e-12))
    return np.stack(expected)


@pytest.mark.parametrize("method", ["layer-cam", "grad-cam"])
@pytest.mark.parametrize("layer", ["features", "conv_2"])
def test_maps_equal_gradients_through_the_whole_network(
    blob_finder: Predictor, layer: str, method: Method
) -> None:
    images, classes = blob_arrays(6, 64, seed=6)[0], np.array([0, 1, 1, 0, 1, 0])
    expected = maps_through_the_whole_network(blob_finder.model, layer, method, images, classes)
    maps = explain(blob_finder, images, classes, method=method, layer=layer).maps
    np.testing.assert_allclose(maps, expected, atol=1e-4)


@pytest.fixture(scope="module")
def evidence_network() -> keras.Model:
    """The default network with its evidence map, at 64 px, from ImageNet weights."""
    recipe = load_recipe("efficientnet-lite0").with_fields(input_size=64)
    assert recipe.evidence is not None
    return build_network(recipe, 4, seed=1, weights=find_weights(recipe))


@pytest.mark.parametrize("method", ["layer-cam", "grad-cam"])
@pytest.mark.parametrize("layer", ["features", None, "evidence_relu_8"])
def test_path_around_the_layer_counts_in_the_map(
    evidence_network: keras.Model, layer: str | None, method: Method
) -> None:
    import keras

    images, classes = blob_arrays(4, 64, seed=7)[0], np.array([0, 1, 2, 3])
    before = evidence_network.get_layer("features").output
    trunk = keras.Model(evidence_network.inputs[0], before).layers
    fine = layer or [one.name for one in trunk if one.output.shape[1] == 8][-1]
    expected = maps_through_the_whole_network(evidence_network, fine, method, images, classes)
    explained = explain(
        Predictor(evidence_network, Task.FOUR_CLASS), images, classes, method=method, layer=layer
    )
    np.testing.assert_allclose(explained.maps, expected, atol=1e-4)
    assert explained.maps.max() == 1.0


def test_network_that_ignores_evidence_has_the_activation_map(
    evidence_network: keras.Model,
) -> None:
    """A head that is linear in the mean of the features needs no gradient."""
    import keras

    model = keras.models.clone_model(evidence_network)
    model.set_weights(evidence_network.get_weights())
    kernel, bias = model.get_layer("logits").get_weights()
    channels = len(kernel) // 2
    kernel[channels:] = 0.0  # weights of the mean over the evidence
    model.get_layer("logits").set_weights([kernel, bias])
    images, classes = blob_arrays(4, 64, seed=7)[0], np.array([0, 1, 2, 3])

    trunk = keras.Model(model.inputs[0], model.get_layer("features").output)
    features = np.asarray(trunk(images.astype(np.float32)[..., None], training=False))
    cam = np.maximum(np.einsum("nhwc,nc->nhw", features, kernel[:channels].T[classes]), 0)
    resized = np.asarray(keras.ops.image.resize(cam[..., None], (64, 64)))[..., 0]
    expected = resized / np.maximum(resized.max((1, 2), keepdims=True), 1e-12)

    def maps_of(network: keras.Model) -> np.ndarray:
        predictor = Predictor(network, Task.FOUR_CLASS)
        return explain(predictor, images, classes, method="grad-cam", layer="features").maps

    np.testing.assert_allclose(maps_of(model), expected, atol=1e-4)
    assert np.abs(maps_of(evidence_network) - expected).max() > 0.01


def test_default_layer_is_the_last_at_an_eighth_of_the_side(
    blob_finder: Predictor,
) -> None:
    images, classes = blob_arrays(4, 64, seed=6)[0], np.array([0, 1, 1, 0])
    np.testing.assert_array_equal(
        heatmaps(blob_finder, images, classes),
        explain(blob_finder, images, classes, layer="features").maps,
    )


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize("size", ["half", "odd", "least"])
def test_packaged_networks_have_a_map_at_an_eighth_of_the_side(name: str, size: str) -> None:
    recipe = load_recipe(name)
    recipe = recipe.with_fields(
        weights="none",
        batch_normalization="adapt",
        evidence=None,
        input_size=32 if size == "least" else recipe.input_size // 2 - (size == "odd"),
    )
    predictor = Predictor(build_network(recipe, 4, seed=1), Task.FOUR_CLASS)
    images = blob_arrays(2, recipe.input_size, seed=7)[0]
    output, _ = _fine_feature_map(predictor.model)
    eighth = recipe.input_size / 8
    assert output.shape[1] in (math.floor(eighth), math.ceil(eighth))
    maps = heatmaps(predictor, images, np.array([0, 3]))
    assert maps.shape == images.shape
    assert maps.max() == 1.0


@pytest.mark.parametrize(("strides", "side"), [((16,), 4), ((4, 4), 16), ((2, 2), 16), ((64,), 1)])
def test_network_without_a_map_at_an_eighth_uses_the_closest(
    strides: tuple[int, ...], side: int
) -> None:
    import keras

    inputs = keras.Input((64, 64, 1))
    x = inputs
    for stride in strides:
        x = keras.layers.Conv2D(4, 3, strides=stride, padding="same", activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = keras.layers.Dense(1, name="logits")(x)
    predictor = Predictor(keras.Model(inputs, outputs), Task.BINARY)
    output, _ = _fine_feature_map(predictor.model)
    assert output.shape[1] == side
    images = blob_arrays(4, 64, seed=7)[0]
    assert heatmaps(predictor, images, np.array([0, 1, 0, 1])).shape == images.shape


def test_explained_predictor_can_be_garbage_collected() -> None:
    predictor = Predictor(build_network(tiny_recipe(), 2, seed=1), Task.BINARY)
    heatmaps(predictor, blob_arrays(2, 32, seed=7)[0], np.array([0, 1]))
    alive = weakref.ref(predictor)
    del predictor
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("classes", [[0], [0, 2], [0, -1]])
def test_wrong_classes_are_refused(blob_finder: Predictor, classes: list[int]) -> None:
    with pytest.raises(ValueError, match="class"):
        heatmaps(blob_finder, blob_arrays(2, 64, seed=8)[0], np.array(classes))
