from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.factories.small_recipes import small_recipe
from tumorml.errors import TumorMLError
from tumorml.recipes.networks.build_network import build_network
from tumorml.recipes.registry import NETWORKS

if TYPE_CHECKING:
    import keras


@pytest.fixture(params=["resnet50v2", "efficientnetb0"])
def keras_network(request: pytest.FixtureRequest) -> tuple[str, Callable[..., keras.Model]]:
    """A network of `keras.applications`: its name and the function that builds it."""
    import keras

    applications: dict[str, Callable[..., keras.Model]] = {
        "resnet50v2": keras.applications.ResNet50V2,
        "efficientnetb0": keras.applications.EfficientNetB0,
    }
    return request.param, applications[request.param]


@cache
def shared_network(network: str, class_count: int, seed: int = 1) -> keras.Model:
    """A small network with random weights; tests that change its weights build their own."""
    return build_network(small_recipe(network), class_count, seed=seed)


def backbone_weights(network: keras.Model) -> dict[str, list[np.ndarray]]:
    """The arrays of the layers before the head, by layer name."""
    from tumorml.recipes.networks.copy_layers import backbone_layers

    return {layer.name: layer.get_weights() for layer in backbone_layers(network)}


def assert_equal_weights(
    found: dict[str, list[np.ndarray]], expected: dict[str, list[np.ndarray]]
) -> None:
    assert found.keys() == expected.keys()
    for layer, arrays in found.items():
        for array, expected_array in zip(arrays, expected[layer], strict=True):
            np.testing.assert_array_equal(array, expected_array)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("class_count", "outputs"), [(2, 1), (4, 4)])
def test_network_has_float32_logits_and_the_named_layers(
    network: str, class_count: int, outputs: int
) -> None:
    from tumorml.recipes.networks.head import head_layers

    model = shared_network(network, class_count)
    logits = model(np.full((3, 64, 64, 1), 200.0, np.float32))
    assert logits.shape == (3, outputs)
    assert logits.dtype == "float32"
    names = [layer.name for layer in model.layers]
    assert names[-1] == "logits"
    assert len(model.get_layer("features").output.shape) == 4
    head = [layer.name for layer in head_layers(model)]
    assert {"dense", "dropout", "logits"} <= set(head)
    assert "features" not in head
    evidence = [layer for layer in model.layers if layer.name == "evidence"]
    assert bool(evidence) == NETWORKS[network].has_evidence_map
    assert [tuple(layer.output.shape) for layer in evidence] == [(None, 16, 16, 1)] * len(evidence)


@pytest.mark.parametrize("network", NETWORKS)
def test_random_weights_depend_only_on_the_seed(network: str) -> None:
    first = shared_network(network, 4).get_weights()
    same = build_network(small_recipe(network), 4, seed=1).get_weights()
    other = shared_network(network, 4, seed=2).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    # Arrays with fewer axes (biases, batch normalization) are initialized with constants.
    drawn = [a for a in first if a.ndim >= 2]
    drawn_with_other_seed = [a for a in other if a.ndim >= 2]
    assert drawn
    for array, other_array in zip(drawn, drawn_with_other_seed, strict=True):
        assert not np.array_equal(array, other_array)


@pytest.mark.parametrize(
    ("network", "filters", "normalized"),
    [
        ("baseline-cnn", (16, 32, 64), False),
        ("batchnorm-cnn", (8, 16, 32), True),
        ("simple-cnn", (16, 32, 32), False),
    ],
)
def test_layers_of_the_cnns_are_those_of_saved_models(
    network: str, filters: tuple[int, ...], normalized: bool
) -> None:
    """Models of earlier versions are loaded by the names of their layers."""
    model = shared_network(network, 2)
    assert model.name == network.replace("-", "_")
    expected = ["scan", "to_unit_range"]
    for number, activation, pooling in (
        (1, "relu_1", "pool_1"),
        (2, "relu_2", "pool_2"),
        (3, "features", "pool"),
    ):
        normalization = [f"bn_{number}"] if normalized else []
        expected += [f"conv_{number}", *normalization, activation, pooling]
    expected += ["flatten", "dense", "dropout", "logits"]
    assert [layer.name for layer in model.layers] == expected
    assert tuple(model.get_layer(f"conv_{number}").filters for number in (1, 2, 3)) == filters


def test_published_keras_weights_are_loaded_into_backbone_only(
    keras_network: tuple[str, Callable[..., keras.Model]], tmp_path: Path
) -> None:
    import keras

    name, application = keras_network
    published = application(include_top=False, weights=None)
    if name == "efficientnetb0":  # the published file has wrong variances
        normalization = next(
            layer for layer in published.layers if isinstance(layer, keras.layers.Normalization)
        )
        normalization.set_weights([np.full(3, 0.5), np.full(3, 0.2), np.int32(0)])
    published.save(tmp_path / "published.h5")
    model = build_network(small_recipe(name), 4, seed=1, weights=tmp_path / "published.h5")
    found = backbone_weights(model)
    expected = {layer: published.get_layer(layer).get_weights() for layer in found}
    assert_equal_weights(found, expected)
    random = shared_network(name, 4)
    for layer in ("dense", "logits"):
        arrays = model.get_layer(layer).get_weights()
        random_arrays = random.get_layer(layer).get_weights()
        assert_equal_weights({layer: arrays}, {layer: random_arrays})


def test_efficientnetb0_input_is_normalized_for_imagenet() -> None:
    import keras

    model = shared_network("efficientnetb0", 4)
    stem_input = keras.Model(model.input, model.get_layer("stem_conv_pad").input)
    pixel = np.asarray(stem_input(np.full((1, 64, 64, 1), 51.0, np.float32)))[0, 0, 0]
    expected = (0.2 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(pixel, expected, rtol=1e-5)


def test_weights_of_another_network_are_refused(
    keras_network: tuple[str, Callable[..., keras.Model]], tmp_path: Path
) -> None:
    name, _ = keras_network
    other = shared_network("simple-cnn", 4)
    for file in ("other.h5", "other.keras"):
        other.save(tmp_path / file)
        with pytest.raises(TumorMLError, match=f"Weights file .*{file}"):
            build_network(small_recipe(name), 4, seed=1, weights=tmp_path / file)


@pytest.mark.parametrize("network", NETWORKS)
def test_weights_come_from_a_saved_network_of_another_task(network: str, tmp_path: Path) -> None:
    source = shared_network(network, 2)
    source.save(tmp_path / "source.keras")
    model = build_network(small_recipe(network), 4, seed=2, weights=tmp_path / "source.keras")
    assert_equal_weights(backbone_weights(model), backbone_weights(source))


@pytest.mark.parametrize(
    ("network", "layer"), [("baseline-cnn", "conv_1"), ("efficientnet-lite0", "stem_conv")]
)
def test_mixed_precision_keeps_weights_and_outputs_in_float32(network: str, layer: str) -> None:
    import keras

    recipe = small_recipe(network, precision="mixed_bfloat16")
    model = build_network(recipe, 4, seed=1)
    assert model.get_layer(layer).compute_dtype == "bfloat16"
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model(np.zeros((1, 64, 64, 1), np.float32)).dtype == "float32"
    assert {x.output.dtype for x in model.layers if x.name == "evidence"} <= {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two classes, not 1"):
        build_network(small_recipe("simple-cnn"), 1, seed=1)


def test_damaged_keras_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "damaged.keras"
    shared_network("simple-cnn", 4).save(path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(TumorMLError, match=r"damaged\.keras cannot be loaded"):
        build_network(small_recipe("simple-cnn"), 4, seed=1, weights=path)
