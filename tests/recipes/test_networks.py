"""The networks take raw greyscale and give float32 logits, and the pretrained one knows its job."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import keras  # noqa: TID253
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from tumorml.errors import TumorMLError
from tumorml.recipes import torch_state
from tumorml.recipes.networks import build_network
from tumorml.recipes.networks.copy_layers import backbone_layers, load_keras
from tumorml.recipes.networks.efficientnet_lite0 import build_imagenet_classifier
from tumorml.recipes.networks.head import head_layers
from tumorml.recipes.pretrained import find_weights
from tumorml.recipes.recipe import Recipe, load_recipe, recipe_names


@pytest.fixture(params=["resnet50v2", "efficientnetb0"])
def keras_network(request: pytest.FixtureRequest) -> tuple[str, Callable[..., keras.Model]]:
    """A network that Keras builds, and what builds it."""
    applications = {
        "resnet50v2": keras.applications.ResNet50V2,
        "efficientnetb0": keras.applications.EfficientNetB0,
    }
    return request.param, applications[request.param]


PALACE, MONASTERY, BELL_COTE, DAISY = 698, 663, 442, 985


def small(name: str, **changes: object) -> Recipe:
    return load_recipe(name).model_copy(update={"input_size": 64, "weights": "none", **changes})


def backbone(network: keras.Model) -> dict[str, list[np.ndarray]]:
    """The arrays of the layers up to `pool`, by layer."""
    return {layer.name: layer.get_weights() for layer in backbone_layers(network)}


def assert_same_backbone(ours: keras.Model, theirs: keras.Model) -> None:
    mine, other = backbone(ours), backbone(theirs)
    assert mine.keys() == other.keys()
    for layer, arrays in mine.items():
        for array, expected in zip(arrays, other[layer], strict=True):
            np.testing.assert_array_equal(array, expected)


def photograph(name: str) -> np.ndarray:
    """The middle of a photograph that scikit-learn ships, float32 [1, 224, 224, 3]."""
    pixels = load_sample_image(name)
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = Image.fromarray(pixels[top : top + side, left : left + side])
    return np.asarray(middle.resize((224, 224), Image.Resampling.BICUBIC), np.float32)[None]


def test_the_loaded_imagenet_network_recognises_photographs() -> None:
    network = build_imagenet_classifier(published_weights())
    palace = network.predict(photograph("china.jpg"), verbose=0)[0]
    flower = network.predict(photograph("flower.jpg"), verbose=0)[0]
    assert {PALACE, MONASTERY, BELL_COTE} <= set(np.argsort(-palace)[:5])
    assert np.argmax(flower) == DAISY


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize(("class_count", "outputs"), [(2, 1), (4, 4)])
def test_every_network_gives_float32_logits_and_has_the_layers_that_grad_cam_needs(
    name: str, class_count: int, outputs: int
) -> None:
    network = build_network(small(name), class_count, seed=1)
    logits = network(np.full((3, 64, 64, 1), 200.0, np.float32))
    assert logits.shape == (3, outputs)
    assert logits.dtype == "float32"
    assert len(network.get_layer("features").output.shape) == 4
    assert [layer.name for layer in network.layers][-1] == "logits"
    assert "features" not in {layer.name for layer in head_layers(network)}


@pytest.mark.parametrize("name", recipe_names())
def test_the_seed_alone_decides_random_weights(name: str) -> None:
    first, same, other = (
        build_network(small(name), 4, seed=seed).get_weights() for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_published_weights_of_a_keras_network_are_loaded_and_the_head_stays_new(
    keras_network: tuple[str, Callable[..., keras.Model]], tmp_path: Path
) -> None:
    name, application = keras_network
    published = application(include_top=False, weights=None)
    if name == "efficientnetb0":  # as in the published file: what it divides by is no variance
        normalization = next(
            x for x in published.layers if isinstance(x, keras.layers.Normalization)
        )
        normalization.set_weights([np.full(3, 0.5), np.full(3, 0.2), np.int32(0)])
    published.save(tmp_path / "published.h5")
    network = build_network(small(name), 4, seed=1, weights=tmp_path / "published.h5")
    for layer, arrays in backbone(network).items():
        for array, expected in zip(arrays, published.get_layer(layer).get_weights(), strict=True):
            np.testing.assert_array_equal(array, expected)
    new = build_network(small(name), 4, seed=1)
    for array, expected in zip(
        network.get_layer("logits").get_weights(),
        new.get_layer("logits").get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(array, expected)


def test_efficientnetb0_sees_what_imagenet_normalisation_makes_of_a_scan() -> None:
    network = build_network(small("efficientnetb0"), 4, seed=1)
    stem = network.get_layer("stem_conv_pad")
    front = keras.Model(network.input, stem.input)
    seen = np.asarray(front(np.full((1, 64, 64, 1), 51.0, np.float32)))[0, 0, 0]
    expected = (0.2 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(seen, expected, rtol=1e-5)


def test_weights_of_another_network_are_refused(
    keras_network: tuple[str, Callable[..., keras.Model]], tmp_path: Path
) -> None:
    name, _ = keras_network
    other = build_network(small("simple-cnn"), 4, seed=1)
    for file in ("other.h5", "other.keras"):
        other.save(tmp_path / file)
        with pytest.raises(TumorMLError, match=f"Weights file .*{file}"):
            build_network(small(name), 4, seed=1, weights=tmp_path / file)


@pytest.mark.parametrize("name", recipe_names())
def test_weights_can_come_from_a_saved_network_of_other_classes(name: str, tmp_path: Path) -> None:
    source = build_network(small(name), 2, seed=1)
    source.save(tmp_path / "source.keras")
    network = build_network(small(name), 4, seed=2, weights=tmp_path / "source.keras")
    assert_same_backbone(network, source)


def test_precision_is_the_networks_own_and_logits_and_weights_stay_float32() -> None:
    network = build_network(small("baseline-cnn", precision="mixed_bfloat16"), 4, seed=1)
    assert network.get_layer("conv_1").compute_dtype == "bfloat16"
    assert {weight.dtype for weight in network.weights} == {"float32"}
    assert network(np.zeros((1, 64, 64, 1), np.float32)).dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


class Malicious:
    def __reduce__(self) -> tuple[object, ...]:
        import os

        return os.system, ("touch /tmp/tumorml-was-here",)


def legacy_file(path: Path, state: object) -> Path:
    header = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    path.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in [*header, state, []]))
    return path


def test_a_weights_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = legacy_file(tmp_path / "evil.pth", {"a": Malicious()})
    with pytest.raises(TumorMLError, match=r"evil\.pth was refused: .*system"):
        torch_state.read_torch_state(path)
    assert not Path("/tmp/tumorml-was-here").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 a zip", pickle.dumps(1), struct.pack("<q", 7)],
    ids=["empty", "zip", "other magic", "noise"],
)
def test_a_file_in_another_format_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(TumorMLError, match="not a state dict in PyTorch's legacy format"):
        torch_state.read_torch_state(path)


def published_weights() -> Path:
    path = find_weights(load_recipe("efficientnet-lite0"))
    assert path is not None
    return path


def test_a_weights_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(published_weights().read_bytes()[:-1000])
    with pytest.raises(TumorMLError, match="legacy format"):
        torch_state.read_torch_state(path)


def test_one_value_cannot_be_repeated_into_a_huge_tensor(tmp_path: Path) -> None:
    storage = torch_state._Storage("0", np.dtype(np.float32), 1)
    tensor = torch_state._Tensor(storage, 0, (10**15,), (0,))
    with pytest.raises(ValueError, match="beyond its storage"):
        torch_state._as_array(tensor, np.zeros(1, np.float32))


def test_a_damaged_keras_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "damaged.keras"
    build_network(small("simple-cnn"), 4, seed=1).save(path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(TumorMLError, match=r"damaged\.keras cannot be loaded"):
        load_keras(path)
