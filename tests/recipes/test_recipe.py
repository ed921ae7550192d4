"""Recipes are read, checked and changed without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tumorml.errors import TumorMLError
from tumorml.recipes.recipe import load_recipe, recipe_from_text, recipe_names


def test_every_packaged_recipe_is_valid_and_named_after_its_file() -> None:
    assert recipe_names() == [
        "baseline-cnn",
        "batchnorm-cnn",
        "efficientnet-lite0",
        "efficientnetb0",
        "resnet50v2",
        "simple-cnn",
    ]
    for name in recipe_names():
        assert load_recipe(name).name == name


def test_reading_recipes_imports_neither_tensorflow_nor_keras() -> None:
    code = (
        "import sys; from tumorml.recipes.recipe import load_recipe; load_recipe('baseline-cnn'); "
        "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_recipe_keeps_its_text_verbatim(tmp_path: Path) -> None:
    text = "# my own\n" + load_recipe("baseline-cnn").text
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert load_recipe(str(path)).text == text


def test_comments_do_not_change_a_digest_but_fields_do() -> None:
    recipe = load_recipe("baseline-cnn")
    assert recipe_from_text("# a remark\n" + recipe.text).digest == recipe.digest
    changed = recipe.text.replace("batch_size = 32", "batch_size = 33")
    assert recipe_from_text(changed).digest != recipe.digest


def test_an_unknown_key_is_named_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(load_recipe("baseline-cnn").text.replace("zoom = 0.1", "zooom = 0.1"))
    with pytest.raises(
        TumorMLError, match=r"mine\.toml.*augmentation\.zooom: there is no such key"
    ):
        load_recipe(str(path))


def test_a_value_out_of_range_is_named_with_the_reason() -> None:
    text = load_recipe("baseline-cnn").text.replace("dropout = 0.3", "dropout = 1.5")
    with pytest.raises(TumorMLError, match=r"dropout: Input should be less than 1 \(got 1\.5\)"):
        recipe_from_text(text)


def test_an_unknown_network_is_refused_with_the_known_ones() -> None:
    text = load_recipe("baseline-cnn").text.replace('network = "baseline-cnn"', 'network = "vgg"')
    with pytest.raises(TumorMLError, match="no network 'vgg'; known are efficientnet-lite0"):
        recipe_from_text(text)


def test_a_network_without_published_weights_takes_only_what_was_saved_of_it() -> None:
    text = load_recipe("baseline-cnn").text
    for weights, reason in (("imagenet", "no ImageNet weights"), ("a.h5", "no published weights")):
        with pytest.raises(TumorMLError, match=reason):
            recipe_from_text(text.replace('"none"', f'"{weights}"'))
    assert recipe_from_text(text.replace('"none"', '"a.keras"')).weights == "a.keras"


def test_a_missing_key_is_named() -> None:
    text = load_recipe("baseline-cnn").text.replace("input_size = 128\n", "")
    with pytest.raises(TumorMLError, match="input_size: this key is missing"):
        recipe_from_text(text)


def test_text_that_is_not_toml_is_refused_with_its_place() -> None:
    with pytest.raises(TumorMLError, match=r"mine\.toml is not valid TOML: .*line 2"):
        recipe_from_text('name = "a"\nbatch_size =\n', source="mine.toml")


@pytest.mark.parametrize("name", ["nonsense", "../recipes/baseline-cnn"])
def test_an_unknown_recipe_lists_the_known_ones(name: str) -> None:
    with pytest.raises(TumorMLError, match="baseline-cnn, batchnorm-cnn, efficientnet-lite0"):
        load_recipe(name)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), (b"\xff\xfe", "not UTF-8 text")],
)
def test_a_file_that_cannot_be_read_is_told_once(
    content: bytes | None, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TumorMLError) as caught:
        load_recipe(str(path))
    assert reason in str(caught.value)
    assert str(caught.value).count(str(path)) == 1


def test_the_mark_that_windows_puts_before_a_text_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(load_recipe("baseline-cnn").text, encoding="utf-8-sig")
    assert load_recipe(str(path)).digest == load_recipe("baseline-cnn").digest


@pytest.mark.parametrize(
    ("wrong", "reasons"),
    [
        (("input_size = 128", 'input_size = "128"'), ["input_size: Input should be a valid int"]),
        (("flip = true", 'flip = "yes"'), ["augmentation.flip: Input should be a valid bool"]),
        (("epochs = 20", "epochs = true"), ["phases.1.epochs: Input should be a valid int"]),
        (("learning_rate = 1e-3", "learning_rate = -1.0"), ["phases.1.learning_rate: Input"]),
        (("[[phases]]", "[phases]"), ["phases: give one [[phases]], in double brackets"]),
    ],
)
def test_each_wrong_value_is_told_once(wrong: tuple[str, str], reasons: list[str]) -> None:
    text = load_recipe("baseline-cnn").text
    assert wrong[0] in text
    with pytest.raises(TumorMLError) as caught:
        recipe_from_text(text.replace(*wrong))
    told = str(caught.value).removeprefix("recipe is not a valid recipe: ").split("; ")
    assert len(told) == len(reasons)
    for one, reason in zip(told, reasons, strict=True):
        assert one.startswith(reason)


@pytest.mark.parametrize("total", [1, 2, 3, 9, 11, 40])
def test_overridden_epochs_are_spread_over_the_phases_and_kept_in_the_text(total: int) -> None:
    recipe = load_recipe("efficientnet-lite0")
    changed = recipe.with_epochs(total)
    assert changed.epochs == total
    assert changed.phases[-1].name == recipe.phases[-1].name
    assert changed.digest != recipe.digest
    assert recipe_from_text(changed.text).digest == changed.digest


def test_the_epochs_that_a_recipe_has_already_leave_it_as_it_is() -> None:
    recipe = load_recipe("efficientnet-lite0")
    assert recipe.with_epochs(recipe.epochs) is recipe


def test_no_epochs_are_refused() -> None:
    with pytest.raises(TumorMLError, match="at least 1"):
        load_recipe("baseline-cnn").with_epochs(0)


def test_a_warm_up_longer_than_its_phase_is_refused() -> None:
    text = load_recipe("efficientnet-lite0").text.replace(
        "warmup_epochs = 1.0", "warmup_epochs = 50"
    )
    with pytest.raises(TumorMLError, match="warmup_epochs is 50, more than the phase's 9"):
        recipe_from_text(text)


def test_random_weights_have_no_statistics_to_keep() -> None:
    text = load_recipe("efficientnetb0").text.replace('weights = "imagenet"', 'weights = "none"')
    with pytest.raises(TumorMLError, match='give "adapt"'):
        recipe_from_text(text)


def test_early_stopping_does_not_keep_the_last_epoch() -> None:
    text = 'kept_epoch = "last"\n' + load_recipe("efficientnetb0").text
    with pytest.raises(TumorMLError, match="would keep a worse one"):
        recipe_from_text(text)


def test_any_description_can_be_rendered() -> None:
    recipe = load_recipe("baseline-cnn").varied(description='a "brain" \U0001f9e0 \x7f \\ \n')
    assert recipe_from_text(recipe.text).description == recipe.description
