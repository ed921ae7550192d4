"""A training of a tiny network on blobs, for tests of training and for their child processes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tests.factories.blobs import blob_arrays, tiny_recipe
from tumorml.labels import Task
from tumorml.recipes.recipe import Recipe
from tumorml.training.checkpoints.checkpoint import EpochRecord, finished_epochs
from tumorml.training.fitting.labeled_images import LabeledImages

if TYPE_CHECKING:
    import keras

EPOCHS = 5
"""Epochs of `tiny_recipe`."""

_VALIDATION_IMAGES, _VALIDATION_LABELS, _ = blob_arrays(16, 32, seed=2)
TRAIN = LabeledImages(*blob_arrays(40, 32, seed=1)[:2])
VALIDATION = LabeledImages(_VALIDATION_IMAGES, _VALIDATION_LABELS)


class BlobTraining(NamedTuple):
    """A finished training.

    Attributes:
        model: The trained network.
        folder: Folder of its checkpoints.
    """

    model: keras.Model
    folder: Path


def train_blobs(
    folder: Path,
    recipe: Recipe | None = None,
    *,
    stop_after: int = 0,
    seed: int = 7,
    **options: Any,
) -> tuple[keras.Model, list[EpochRecord]]:
    """Train a recipe on blobs, by default `tiny_recipe`, and return the epochs of this call.

    Args:
        folder: Folder of the checkpoints.
        recipe: The recipe.
        stop_after: Epoch after which KeyboardInterrupt is raised; 0 for none.
        seed: Seed of the training.
        options: Other arguments of `fit`.
    """
    from tumorml.training.fitting.fit import fit

    records: list[EpochRecord] = []

    def on_epoch(record: EpochRecord) -> None:
        records.append(record)
        if record.epoch == stop_after:
            raise KeyboardInterrupt

    arguments: dict[str, Any] = {
        "train": TRAIN,
        "validation": VALIDATION,
        "checkpoint_dir": folder,
        "seed": seed,
        "on_epoch": on_epoch,
        **options,
    }
    return fit(recipe or tiny_recipe(), Task.BINARY, **arguments), records


def validation_loss(model: keras.Model) -> float:
    """Mean cross-entropy of a binary network on VALIDATION."""
    logits = model.predict(_VALIDATION_IMAGES.astype(np.float32)[..., None], verbose=0)[:, 0]
    signed = np.where(_VALIDATION_LABELS == 1, -logits, logits)
    return float(np.mean(np.logaddexp(0, signed)))


def assert_same_weights(model: keras.Model, expected: keras.Model) -> None:
    for array, expected_array in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(array, expected_array)


def assert_same_training(training: BlobTraining, expected: BlobTraining) -> None:
    """Assert that two trainings have bit-identical losses and weights."""
    records = finished_epochs(training.folder)
    assert [record.epoch for record in records] == list(range(1, EPOCHS + 1))
    assert [record.validation_loss for record in records] == [
        record.validation_loss for record in finished_epochs(expected.folder)
    ]
    assert_same_weights(training.model, expected.model)
