"""Train and calibrate a recipe on the scans of a snapshot, without writing rows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tumorml.datasets.pixels import SplitPixels, split_pixels
from tumorml.datasets.snapshots import SnapshotEntry
from tumorml.labels import LABELS, Task
from tumorml.models.calibration import calibrate
from tumorml.models.files import MODEL_FILE
from tumorml.models.model_versions import fetch_model
from tumorml.models.predictor import Predictor
from tumorml.recipes.find_weights import find_weights
from tumorml.recipes.recipe import Recipe
from tumorml.settings import Settings

if TYPE_CHECKING:
    from tumorml.training.checkpoints.checkpoint import EpochRecord

logger = logging.getLogger(__name__)

GOLDEN_PER_LABEL = 4
"""Golden scans of each label."""


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of a training.

    Attributes:
        predictor: The network of the kept epoch, calibrated on validation scans.
        golden: Probabilities of some validation scans of each label, by scan id.
        train: The training scans.
        validation: The validation scans.
    """

    predictor: Predictor
    golden: dict[str, list[float]]
    train: SplitPixels
    validation: SplitPixels


def train_model(
    settings: Settings,
    recipe: Recipe,
    task: Task,
    entries: Sequence[SnapshotEntry],
    *,
    seed: int,
    min_sensitivity: float,
    checkpoints: Path,
    on_epoch: Callable[[EpochRecord], None],
    warm_start_id: str | None = None,
) -> Trained:
    """Train a network on a snapshot's training scans, or resume from its last checkpoint.

    Args:
        settings: The settings.
        recipe: The recipe.
        task: The task.
        entries: The snapshot; its test scans are not used.
        seed: Seed of the weights, the order of scans, the augmentation and dropout.
        min_sensitivity: Sensitivity of a binary model's operating point on validation, in 0..1.
        checkpoints: A folder for this training only.
        on_epoch: Called after every epoch.
        warm_start_id: Model version whose weights training starts from.

    Raises:
        TumorMLError: The training failed.
    """
    from tumorml.training.fitting.fit import fit
    from tumorml.training.fitting.labeled_images import LabeledImages

    train, validation = (
        split_pixels(settings, entries, side, labels=LABELS[task], size=recipe.input_size)
        for side in ("train", "validation")
    )
    labels_without_validation = set(train.labels.tolist()) - set(validation.labels.tolist())
    if labels_without_validation:
        names = ", ".join(LABELS[task][label] for label in sorted(labels_without_validation))
        logger.warning("no validation scan of %s; the best epoch is chosen without them", names)
    if warm_start_id is not None:
        fetch_model(settings, warm_start_id, checkpoints / "warm-start")
    model = fit(
        recipe,
        task,
        LabeledImages(train.images, train.labels, train.masks),
        LabeledImages(validation.images, validation.labels, validation.masks),
        checkpoint_dir=checkpoints,
        seed=seed,
        on_epoch=on_epoch,
        pretrained=None if warm_start_id else find_weights(recipe, settings.weights_folder),
        initial_weights=checkpoints / "warm-start" / MODEL_FILE if warm_start_id else None,
    )
    calibration = calibrate(
        Predictor(model, task, test_time_flip=recipe.test_time_flip).logits(validation.images),
        validation.labels,
        task,
        min_sensitivity=min_sensitivity,
    )
    predictor = Predictor(model, task, calibration, test_time_flip=recipe.test_time_flip)
    return Trained(predictor, _golden_scans(predictor, validation), train, validation)


def _golden_scans(predictor: Predictor, validation: SplitPixels) -> dict[str, list[float]]:
    """Return the probabilities of the first validation scans of each label, by scan id."""
    chosen = np.concatenate(
        [
            np.flatnonzero(validation.labels == label)[:GOLDEN_PER_LABEL]
            for label in range(len(predictor.labels))
        ]
    )
    probabilities = predictor.predict(validation.images[chosen])
    return {
        validation.scan_ids[index]: [float(value) for value in row]
        for index, row in zip(chosen, probabilities, strict=True)
    }
