from __future__ import annotations

import pytest

from tumorml.errors import TumorMLError
from tumorml.recipes.load_recipe import load_recipe, recipe_from_text
from tumorml.recipes.sections import Phase


def test_digest_depends_on_fields_and_not_on_comments() -> None:
    recipe = load_recipe("baseline-cnn")
    assert recipe_from_text("# a remark\n" + recipe.text).digest == recipe.digest
    changed = recipe.text.replace("batch_size = 32", "batch_size = 33")
    assert recipe_from_text(changed).digest != recipe.digest


def test_digests_of_the_packaged_recipes_are_unchanged() -> None:
    """A stored run is recognized by the digest of its recipe."""
    digests = {name: load_recipe(name).digest[:12] for name in ("baseline-cnn", "resnet50v2")}
    assert digests == {"baseline-cnn": "89c0c2edce24", "resnet50v2": "74bec816e123"}


@pytest.mark.parametrize("total", [1, 2, 3, 9, 11, 40])
def test_new_total_of_epochs_is_spread_over_the_phases(total: int) -> None:
    recipe = load_recipe("efficientnet-lite0")
    changed = recipe.with_epochs(total)
    head = {1: [], 2: [("head", 1)], 40: [("head", 4)]}.get(total, [("head", 1)])
    rest = total - sum(epochs for _, epochs in head)
    assert [(p.name, p.epochs) for p in changed.phases] == [*head, ("fine-tune", rest)]
    assert changed.phases[-1].warmup_epochs == min(1.0, rest / 2)
    assert changed.epochs == total
    assert changed.digest != recipe.digest
    assert recipe_from_text(changed.text).digest == changed.digest


def test_same_total_of_epochs_returns_the_recipe_itself() -> None:
    recipe = load_recipe("efficientnet-lite0")
    assert recipe.with_epochs(recipe.epochs) is recipe


def test_zero_epochs_are_refused() -> None:
    with pytest.raises(TumorMLError, match="epochs must be at least 1, not 0"):
        load_recipe("baseline-cnn").with_epochs(0)


def test_warm_start_replaces_the_phases() -> None:
    warm_phase = Phase(name="more", epochs=2, learning_rate=1e-4)
    cold = load_recipe("baseline-cnn").with_fields(warm_start=True)
    warm = cold.with_fields(warm_phases=(warm_phase,))
    assert warm.with_warm_phases().phases == (warm_phase,)
    assert cold.with_warm_phases().phases == cold.phases


def test_unknown_network_error_lists_the_known_ones() -> None:
    text = load_recipe("baseline-cnn").text.replace('network = "baseline-cnn"', 'network = "vgg"')
    with pytest.raises(TumorMLError, match="no network 'vgg'; known are efficientnet-lite0"):
        recipe_from_text(text)


def test_network_without_published_weights_needs_a_keras_file() -> None:
    text = load_recipe("baseline-cnn").text
    for weights, reason in (
        ("imagenet", "baseline-cnn has no ImageNet weights"),
        ("a.h5", "baseline-cnn has no published weights"),
    ):
        with pytest.raises(TumorMLError, match=reason):
            recipe_from_text(text.replace('"none"', f'"{weights}"'))
    assert recipe_from_text(text.replace('"none"', '"a.keras"')).weights == "a.keras"


def test_network_without_evidence_map_refuses_the_section() -> None:
    text = load_recipe("baseline-cnn").text + "\n[evidence]\n"
    with pytest.raises(TumorMLError, match="baseline-cnn has no evidence map"):
        recipe_from_text(text)


def test_evidence_map_needs_input_size_divisible_by_32() -> None:
    text = load_recipe("efficientnet-lite0").text.replace("input_size = 128", "input_size = 100")
    with pytest.raises(TumorMLError, match="multiple of 32, not 100"):
        recipe_from_text(text)


def test_warm_up_longer_than_its_phase_is_refused() -> None:
    text = load_recipe("efficientnet-lite0").text.replace(
        "warmup_epochs = 1.0", "warmup_epochs = 50"
    )
    with pytest.raises(TumorMLError, match="warmup_epochs is 50, more than the phase's 9"):
        recipe_from_text(text)


def test_warm_phases_without_a_warm_start_are_refused() -> None:
    text = load_recipe("baseline-cnn").text.replace("[[phases]]", "[[warm_phases]]")
    phases = load_recipe("baseline-cnn").text.partition("[[phases]]")
    with pytest.raises(TumorMLError, match="warm_phases need warm_start = true"):
        recipe_from_text(text + phases[1] + phases[2])


def test_statistics_of_random_weights_cannot_be_kept() -> None:
    text = load_recipe("efficientnetb0").text.replace('weights = "imagenet"', 'weights = "none"')
    with pytest.raises(TumorMLError, match='set "adapt"'):
        recipe_from_text(text)


def test_early_stopping_with_the_last_epoch_is_refused() -> None:
    text = 'kept_epoch = "last"\n' + load_recipe("efficientnetb0").text
    with pytest.raises(TumorMLError, match="would keep a worse epoch"):
        recipe_from_text(text)


def test_weight_decay_needs_adamw() -> None:
    text = load_recipe("efficientnet-lite0").text.replace('"adamw"', '"adam"')
    with pytest.raises(TumorMLError, match='weight_decay needs name = "adamw"'):
        recipe_from_text(text)
