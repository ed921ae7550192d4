"""Saving and loading of models, and refusal of changed or unsuitable ones."""

from __future__ import annotations

import json
from pathlib import Path

import keras  # noqa: TID253
import numpy as np
import pytest

from tests.factories.blobs import tiny_recipe
from tumorml.errors import TumorMLError
from tumorml.labels import LABELS, Task
from tumorml.models.artifact import load_predictor, read_description, save_model
from tumorml.models.predictor import Predictor
from tumorml.recipes.load_recipe import load_recipe, recipe_from_text
from tumorml.recipes.networks.build_network import build_network

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 32, 32)).astype(np.uint8)


def network(task: Task) -> keras.Model:
    return build_network(tiny_recipe(), len(LABELS[task]), seed=1)


@pytest.mark.parametrize("task", list(Task))
def test_loaded_predictor_gives_the_saved_models_probabilities(task: Task, tmp_path: Path) -> None:
    model = network(task)
    save_model(model, tmp_path, task=task, recipe=tiny_recipe())
    loaded = load_predictor(tmp_path)
    assert (loaded.task, loaded.labels, loaded.input_size) == (task, LABELS[task], 32)
    np.testing.assert_allclose(
        loaded.predict(IMAGES), Predictor(model, task).predict(IMAGES), atol=1e-6
    )


def test_default_network_gives_the_same_output_after_loading(tmp_path: Path) -> None:
    recipe = load_recipe("efficientnet-lite0").model_copy(
        update={"input_size": 32, "weights": "none"}
    )
    model = build_network(recipe, 4, seed=1)
    save_model(model, tmp_path, task=Task.FOUR_CLASS, recipe=recipe)
    np.testing.assert_allclose(
        load_predictor(tmp_path).predict(IMAGES),
        Predictor(model, Task.FOUR_CLASS).predict(IMAGES),
        atol=1e-6,
    )


def test_description_without_a_later_key_is_read(tmp_path: Path) -> None:
    save_model(network(Task.BINARY), tmp_path, task=Task.BINARY, recipe=tiny_recipe())
    path = tmp_path / "model.json"
    fields = json.loads(path.read_text())
    del fields["test_time_flip"]
    path.write_text(json.dumps(fields))
    assert not load_predictor(tmp_path).test_time_flip


def test_test_time_flip_gives_mirror_images_the_same_output(tmp_path: Path) -> None:
    recipe = tiny_recipe().with_fields(test_time_flip=True)
    save_model(network(Task.FOUR_CLASS), tmp_path, task=Task.FOUR_CLASS, recipe=recipe)
    loaded = load_predictor(tmp_path)
    np.testing.assert_allclose(loaded.logits(IMAGES), loaded.logits(IMAGES[:, :, ::-1]), atol=1e-5)
    once = Predictor(loaded.model, Task.FOUR_CLASS)
    np.testing.assert_allclose(
        loaded.logits(IMAGES),
        (once.logits(IMAGES) + once.logits(IMAGES[:, :, ::-1])) / 2,
        atol=1e-5,
    )


@pytest.mark.parametrize("task", list(Task))
def test_probabilities_sum_to_one_for_any_batch_size(
    task: Task,
) -> None:
    predictor = Predictor(network(task), task)
    probabilities = predictor.predict(IMAGES, batch_size=3)
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (7, len(LABELS[task]))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(probabilities, predictor.predict(IMAGES), atol=1e-5)
    assert predictor.predict(IMAGES[:0]).shape == (0, len(LABELS[task]))


def test_positive_logit_of_a_binary_model_means_tumor() -> None:
    model = network(Task.BINARY)
    model.get_layer("logits").set_weights([np.zeros((64, 1)), np.array([2.0])])
    no_tumor, tumor = Predictor(model, Task.BINARY).predict(IMAGES)[0]
    assert tumor == pytest.approx(1 / (1 + np.exp(-2)))
    assert no_tumor == pytest.approx(1 - tumor)


@pytest.mark.parametrize(
    "images",
    [IMAGES[0], IMAGES[:, :16], IMAGES.astype(np.float32)],
    ids=["one scan", "other size", "not uint8"],
)
def test_images_of_wrong_type_or_shape_are_refused(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"uint8 \[n, 32, 32\]"):
        Predictor(network(Task.BINARY), Task.BINARY).predict(images)


def test_model_with_wrong_class_count_is_refused() -> None:
    with pytest.raises(ValueError, match="4 logits, not 1"):
        Predictor(network(Task.BINARY), Task.FOUR_CLASS)


def test_description_has_recipe_versions_and_checksum(
    tmp_path: Path,
) -> None:
    recipe = tiny_recipe()
    details = {"run": "r1", "seed": 7}
    model = network(Task.BINARY)
    save_model(model, tmp_path, task=Task.BINARY, recipe=recipe, details=details)
    description = read_description(tmp_path)
    assert recipe_from_text(description.recipe_text).digest == recipe.digest
    assert description.recipe_digest == recipe.digest
    assert description.details == details
    assert description.parameters == sum(weights.size for weights in model.get_weights())


def test_changed_model_file_is_refused(tmp_path: Path) -> None:
    save_model(network(Task.BINARY), tmp_path, task=Task.BINARY, recipe=tiny_recipe())
    with (tmp_path / "model.keras").open("ab") as file:
        file.write(b"x")
    with pytest.raises(TumorMLError, match="SHA-256 differs"):
        load_predictor(tmp_path)


def test_model_with_other_labels_than_its_task_is_refused(tmp_path: Path) -> None:
    save_model(network(Task.BINARY), tmp_path, task=Task.BINARY, recipe=tiny_recipe())
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "labels": ["tumor", "no_tumor"]}))
    with pytest.raises(TumorMLError, match="has the labels tumor, no_tumor"):
        load_predictor(tmp_path)


def test_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TumorMLError, match="no model in"):
        load_predictor(tmp_path)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(TumorMLError, match="is not a valid model description"):
        load_predictor(tmp_path)
