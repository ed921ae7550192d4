"""Training of a tiny network: kept epoch, determinism, options of the recipe, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.factories.blob_training import (
    EPOCHS,
    TRAIN,
    BlobTraining,
    assert_same_training,
    assert_same_weights,
    train_blobs,
    validation_loss,
)
from tests.factories.blobs import blob_arrays, tiny_recipe
from tumorml.errors import TooLittleMemoryError, TumorMLError
from tumorml.recipes.sections import Augmentation, Optimizer, Regularization
from tumorml.training.checkpoints.checkpoint import finished_epochs, load_checkpoint
from tumorml.training.fitting.labeled_images import LabeledImages


def test_training_learns_to_find_blobs(blob_training: BlobTraining) -> None:
    records = finished_epochs(blob_training.folder)
    assert records[-1].loss < records[0].loss
    assert validation_loss(blob_training.model) < np.log(2) - 0.01  # the loss of guessing


def test_best_epoch_is_returned_and_kept(blob_training: BlobTraining) -> None:
    records = finished_epochs(blob_training.folder)
    best = min(records, key=lambda record: record.validation_loss)
    assert validation_loss(blob_training.model) == pytest.approx(best.validation_loss, rel=1e-3)
    files = [path.name for path in blob_training.folder.glob("best-*")]
    assert files == [f"best-{best.epoch:04d}.npz"]


def test_last_epoch_is_returned_if_the_recipe_keeps_it(tmp_path: Path) -> None:
    learns, forgets = (
        tiny_recipe().phases[0].model_copy(update={"epochs": epochs, "learning_rate": rate})
        for epochs, rate in ((3, 1e-3), (1, 1.0))
    )
    recipe = tiny_recipe(phases=(learns, forgets), kept_epoch="last", early_stopping_patience=None)
    model, records = train_blobs(tmp_path, recipe)
    assert records[-1].validation_loss > min(record.validation_loss for record in records)
    assert validation_loss(model) == pytest.approx(records[-1].validation_loss, rel=1e-3)
    assert not list(tmp_path.glob("best-*"))
    assert_same_weights(train_blobs(tmp_path, recipe)[0], model)


def test_same_seed_gives_bit_identical_training(
    blob_training: BlobTraining, tmp_path: Path
) -> None:
    model, _ = train_blobs(tmp_path)
    assert_same_training(BlobTraining(model, tmp_path), blob_training)


def test_record_of_each_epoch_has_phase_rate_time_and_memory(blob_training: BlobTraining) -> None:
    records = finished_epochs(blob_training.folder)
    assert [record.phase for record in records] == ["first"] * 2 + ["second"] * 3
    assert {record.epochs for record in records} == {EPOCHS}
    rates = [record.learning_rate for record in records]
    assert rates[:2] == pytest.approx([1e-3, 1e-3])
    assert rates[2] > rates[3] > rates[4]
    assert all(record.seconds > 0 and record.peak_memory_bytes > 10**8 for record in records)


@pytest.mark.parametrize(
    "changes",
    [
        {"augmentation": Augmentation()},
        {"class_balance": "none"},
        {"label_smoothing": 0.2},
        {"dropout": 0.0},
        {"optimizer": Optimizer(name="adamw", weight_decay=0.1)},
        {"regularization": Regularization(l2=0.01)},
        {"network": "batchnorm-cnn", "batch_normalization": "keep"},
    ],
    ids=lambda changes: list(changes)[-1],
)
def test_each_key_of_a_recipe_changes_its_training(changes: dict[str, Any], tmp_path: Path) -> None:
    """Two trainings that differ in one key start from the same weights and end with others."""
    (phase, _) = tiny_recipe().phases
    one_epoch = tiny_recipe(
        phases=(phase.model_copy(update={"epochs": 1}),),
        optimizer=Optimizer(name="adamw", weight_decay=0.0),
        network=changes.get("network", "baseline-cnn"),
    )
    images, labels, _ = blob_arrays(40, 32, seed=1)
    unbalanced = LabeledImages(images[:28], np.sort(labels)[:28])
    first, second = (
        train_blobs(tmp_path / name, recipe, train=unbalanced)[0]
        for name, recipe in (
            ("unchanged", one_epoch),
            ("changed", one_epoch.model_copy(update=changes)),
        )
    )
    kernels, changed_kernels = (
        [array for array in model.get_weights() if array.ndim >= 2] for model in (first, second)
    )
    for kernel, changed_kernel in zip(kernels, changed_kernels, strict=True):
        assert np.any(kernel != changed_kernel)
    # One epoch moves weights by a few times the learning rate, so both started alike. A dropout
    # layer draws a seed before the logits layer does, whose kernel therefore starts differently.
    for kernel, changed_kernel in zip(kernels[:-1], changed_kernels[:-1], strict=True):
        assert np.abs(kernel - changed_kernel).max() < 0.1


def test_each_epoch_has_its_own_order_and_augmentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tumorml.training.fitting.input_pipeline import training_batches

    epochs: list[int] = []

    def record_epoch(*data: Any, epoch: int, **options: Any) -> Any:
        epochs.append(epoch)
        return training_batches(*data, epoch=epoch, **options)

    monkeypatch.setattr("tumorml.training.fitting.train_phase.training_batches", record_epoch)
    train_blobs(tmp_path)
    assert epochs == [1, 2, 3, 4, 5]


def test_head_phase_changes_only_the_head(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    phases = tuple(phase.model_copy(update={"trainable": "head"}) for phase in recipe.phases)
    head_only = recipe.model_copy(update={"phases": phases[:1]})
    before, _ = train_blobs(tmp_path / "one", head_only.with_epochs(1))
    after, _ = train_blobs(tmp_path / "two", head_only.with_epochs(2))
    changed = {
        layer.name
        for layer, other in zip(before.layers, after.layers, strict=True)
        for a, b in zip(layer.get_weights(), other.get_weights(), strict=True)
        if not np.array_equal(a, b)
    }
    assert changed == {"dense", "logits"}


def test_training_starts_from_a_saved_model(blob_training: BlobTraining, tmp_path: Path) -> None:
    blob_training.model.save(tmp_path / "model.keras")
    recipe = tiny_recipe().with_epochs(1)
    _, (cold,) = train_blobs(tmp_path / "cold", recipe, seed=9)
    _, (warm,) = train_blobs(
        tmp_path / "warm", recipe, seed=9, initial_weights=tmp_path / "model.keras"
    )
    assert warm.validation_loss < cold.validation_loss


def test_validation_loss_excludes_the_regularization_penalty(tmp_path: Path) -> None:
    recipe = tiny_recipe(regularization=Regularization(l1=1e-4, l2=0.01))
    model, records = train_blobs(tmp_path, recipe)
    assert len(model.losses) == len(model.layers[-1].losses) + 4  # three convolutions, one dense
    best = min(records, key=lambda record: record.validation_loss)
    assert float(sum(model.losses)) > 0.1
    assert validation_loss(model) == pytest.approx(best.validation_loss, rel=1e-3)


def test_early_stopping_ends_training_and_plateau_lowers_rate(tmp_path: Path) -> None:
    recipe = tiny_recipe(early_stopping_patience=3).with_epochs(40)
    plateau = recipe.reduce_on_plateau
    assert plateau is not None
    # A rate this high makes the first epochs the best ones.
    phases = tuple(
        phase.model_copy(update={"learning_rate": 0.5, "schedule": "constant", "epochs": epochs})
        for phase, epochs in zip(recipe.phases, (1, 30), strict=True)
    )
    update = {"phases": phases, "reduce_on_plateau": plateau.model_copy(update={"patience": 1})}
    _, records = train_blobs(tmp_path, recipe.model_copy(update=update))
    best = min(records, key=lambda record: record.validation_loss).epoch
    assert len(records) == max(best, 1) + 3 < 31
    assert records[-1].learning_rate < records[-3].learning_rate <= 0.5


def test_recipe_with_pretrained_weights_is_not_trained_without(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs pretrained weights, but none were given"):
        train_blobs(tmp_path, tiny_recipe(weights="imagenet"))


def test_scans_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="scans are 32 px, recipe baseline-cnn needs 64 px"):
        train_blobs(tmp_path, tiny_recipe(input_size=64))


def test_label_outside_the_task_is_refused(tmp_path: Path) -> None:
    images, labels, _ = blob_arrays(4, 32, seed=1)
    with pytest.raises(ValueError, match=r"a label is outside 0\.\.1"):
        train_blobs(tmp_path, train=LabeledImages(images, labels + 1))


def test_exhausted_memory_error_names_batch_size_and_input_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras
    import tensorflow as tf

    def exhausted(*_: object, **__: object) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "no memory")

    monkeypatch.setattr(keras.Model, "fit", exhausted)
    with pytest.raises(TooLittleMemoryError, match=r"batch_size \(8\) or input_size \(32\)"):
        train_blobs(tmp_path)


def test_infinite_loss_ends_the_training_without_a_checkpoint(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    phases = tuple(phase.model_copy(update={"learning_rate": 1e30}) for phase in recipe.phases)
    with pytest.raises(TumorMLError, match="diverged in epoch 1"):
        train_blobs(tmp_path, recipe.model_copy(update={"phases": phases}))
    assert load_checkpoint(tmp_path) is None


def test_train_data_is_read_but_not_changed(blob_training: BlobTraining) -> None:
    images, labels, _ = blob_arrays(40, 32, seed=1)
    np.testing.assert_array_equal(TRAIN.images[:], images)
    np.testing.assert_array_equal(TRAIN.labels, labels)
