from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tumorml.errors import TumorMLError
from tumorml.recipes.load_recipe import load_recipe, recipe_from_text, recipe_names


def test_packaged_recipes_are_valid_and_named_after_their_files() -> None:
    assert recipe_names() == [
        "baseline-cnn",
        "batchnorm-cnn",
        "efficientnet-lite0",
        "efficientnetb0",
        "resnet50v2",
        "simple-cnn",
    ]
    assert [load_recipe(name).name for name in recipe_names()] == recipe_names()


def test_reading_recipes_imports_neither_tensorflow_nor_keras() -> None:
    code = (
        "import sys; from tumorml.recipes.load_recipe import load_recipe; "
        "load_recipe('baseline-cnn'); "
        "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_recipe_keeps_its_text_verbatim(tmp_path: Path) -> None:
    text = "# my own\n" + load_recipe("baseline-cnn").text
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert load_recipe(str(path)).text == text


@pytest.mark.parametrize("name", recipe_names())
def test_rendered_recipe_has_the_same_digest(name: str) -> None:
    recipe = load_recipe(name)
    rendered = recipe.with_fields().text
    assert rendered != recipe.text
    assert recipe_from_text(rendered).digest == recipe.digest


def test_any_description_can_be_rendered() -> None:
    description = 'a "brain" \U0001f9e0 \x7f \\ \n'
    recipe = load_recipe("baseline-cnn").with_fields(description=description)
    assert recipe_from_text(recipe.text).description == description


def test_unknown_key_error_names_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(load_recipe("baseline-cnn").text.replace("zoom = 0.1", "zooom = 0.1"))
    with pytest.raises(
        TumorMLError, match=r"mine\.toml.*augmentation\.zooom: there is no such key"
    ):
        load_recipe(str(path))


def test_out_of_range_error_names_key_limit_and_value() -> None:
    text = load_recipe("baseline-cnn").text.replace("dropout = 0.3", "dropout = 1.5")
    with pytest.raises(TumorMLError, match=r"dropout: Input should be less than 1 \(got 1\.5\)"):
        recipe_from_text(text)


def test_missing_key_error_names_the_key() -> None:
    text = load_recipe("baseline-cnn").text.replace("input_size = 128\n", "")
    with pytest.raises(TumorMLError, match="input_size: this key is missing"):
        recipe_from_text(text)


def test_invalid_toml_error_names_file_and_line() -> None:
    with pytest.raises(TumorMLError, match=r"mine\.toml is not valid TOML: .*line 2"):
        recipe_from_text('name = "a"\nbatch_size =\n', source="mine.toml")


@pytest.mark.parametrize("name", ["nonsense", "../recipes/baseline-cnn"])
def test_unknown_recipe_error_lists_the_packaged_ones(name: str) -> None:
    with pytest.raises(TumorMLError, match="baseline-cnn, batchnorm-cnn, efficientnet-lite0"):
        load_recipe(name)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), (b"\xff\xfe", "not UTF-8 text")],
)
def test_unreadable_file_error_names_the_file_once(
    content: bytes | None, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TumorMLError) as caught:
        load_recipe(str(path))
    assert reason in str(caught.value)
    assert str(caught.value).count(str(path)) == 1


def test_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(load_recipe("baseline-cnn").text, encoding="utf-8-sig")
    assert load_recipe(str(path)).digest == load_recipe("baseline-cnn").digest


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("input_size = 128", 'input_size = "128"'), "input_size: Input should be a valid int"),
        (("flip = true", 'flip = "yes"'), "augmentation.flip: Input should be a valid bool"),
        (("epochs = 20", "epochs = true"), "phases.1.epochs: Input should be a valid int"),
        (("learning_rate = 1e-3", "learning_rate = -1.0"), "phases.1.learning_rate: Input"),
        (("[[phases]]", "[phases]"), "phases: write one section [[phases]] (double brackets)"),
    ],
)
def test_invalid_value_is_reported_once(change: tuple[str, str], reason: str) -> None:
    text = load_recipe("baseline-cnn").text
    assert change[0] in text
    with pytest.raises(TumorMLError) as caught:
        recipe_from_text(text.replace(*change))
    reasons = str(caught.value).removeprefix("recipe is not a valid recipe: ").split("; ")
    assert len(reasons) == 1
    assert reasons[0].startswith(reason)
