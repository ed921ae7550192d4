"""Train and calibrate a recipe on the scans of a snapshot; no row is written."""

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
    from tumorml.training.fitting.fit import EpochRecord

logger = logging.getLogger(__name__)

GOLDEN_PER_LABEL = 4


@dataclass(frozen=True, slots=True)
class Trained:
    """What training leaves.

    Attributes:
        predictor: The network of the epoch that the recipe keeps, calibrated on validation.
        golden: By scan id, the probabilities of some validation scans of each label.
        train: What it learnt from.
        validation: What it was chosen and calibrated on.
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
    """Train a network on a snapshot's training scans, resuming where ``checkpoints`` ends.

    Args:
        settings: Where the scans are.
        recipe: How.
        task: What is learnt.
        entries: The snapshot; its test scans are not touched.
        seed: Of the weights, the order, the variations and dropout.
        min_sensitivity: Of a binary model's operating point, on validation.
        checkpoints: A folder of this training's own.
        on_epoch: Told of every epoch.
        warm_start_id: The model version from whose weights it goes on.

    Raises:
        TumorMLError: Training cannot go on.
    """
    from tumorml.training.fitting.fit import fit
    from tumorml.training.fitting.labelled_images import LabelledImages

    train, validation = (
        split_pixels(settings, entries, side, labels=LABELS[task], size=recipe.input_size)
        for side in ("train", "validation")
    )
    unjudged = set(train.labels.tolist()) - set(validation.labels.tolist())
    if unjudged:
        names = ", ".join(LABELS[task][label] for label in sorted(unjudged))
        logger.warning("validation has no scan of %s: the network is chosen without", names)
    if warm_start_id is not None:
        fetch_model(settings, warm_start_id, checkpoints / "warm-start")
    model = fit(
        recipe,
        task,
        LabelledImages(train.images, train.labels, train.masks),
        LabelledImages(validation.images, validation.labels, validation.masks),
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
    return Trained(predictor, _golden(predictor, validation), train, validation)


def _golden(predictor: Predictor, validation: SplitPixels) -> dict[str, list[float]]:
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
