"""Train the epochs of one phase, with a checkpoint after each."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras  # noqa: TID253
import numpy as np
import tensorflow as tf  # noqa: TID253

from tumorml.errors import DivergedTrainingError, TooLittleMemoryError
from tumorml.memory import peak_memory_bytes
from tumorml.recipes.recipe import Recipe
from tumorml.recipes.sections import Phase
from tumorml.training.checkpoints.checkpoint import (
    Checkpoint,
    EpochRecord,
    TrainingState,
    remove_all_but_best,
    save_best,
    save_checkpoint,
)
from tumorml.training.checkpoints.update_progress import update_progress
from tumorml.training.fitting.input_pipeline import training_batches, validation_batches
from tumorml.training.fitting.labeled_images import LabeledImages
from tumorml.training.fitting.learning_rates import EpochRates, learning_rates
from tumorml.training.fitting.variables import read_variables

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """The constants of one training.

    Attributes:
        recipe: The recipe.
        network: The network with the output `logits`; its variables are saved.
        trained_network: The same layers; also with the output `evidence` if masks train the map.
        class_count: Number of classes.
        train: Training scans.
        validation: Validation scans.
        evidence_side: Side of the evidence map, in cells; None if it is not trained on masks.
        checkpoint_dir: Folder of the checkpoints.
        seed: Seed of the training.
        on_epoch: Called after every epoch.
    """

    recipe: Recipe
    network: keras.Model
    trained_network: keras.Model
    class_count: int
    train: LabeledImages
    validation: LabeledImages
    evidence_side: int | None
    checkpoint_dir: Path
    seed: int
    on_epoch: Callable[[EpochRecord], None]


def train_phase(
    training: Training,
    phase: Phase,
    rates: EpochRates,
    progress: TrainingState,
    first_epoch: int,
) -> TrainingState:
    """Train the remaining epochs of a phase and return the state after them.

    Args:
        training: The training, compiled for the phase.
        phase: A phase of the recipe.
        rates: The learning rates of the compiled optimizer.
        progress: State after the last finished epoch.
        first_epoch: Number of the phase's first epoch, counted over all phases from 1.
    """
    recipe, network = training.recipe, training.trained_network
    validation_data = validation_batches(
        training.validation,
        training.class_count,
        batch_size=recipe.batch_size,
        evidence_side=training.evidence_side,
    )
    for epoch in range(len(progress.records) + 1, first_epoch + phase.epochs):
        started = time.monotonic()
        batches = training_batches(
            training.train,
            training.class_count,
            batch_size=recipe.batch_size,
            augmentation=recipe.augmentation,
            class_balance=recipe.class_balance,
            seed=training.seed,
            epoch=epoch,
            evidence_side=training.evidence_side,
        )
        step_rates = learning_rates(
            phase, epoch - first_epoch, len(batches), share=progress.rate_share
        )
        rates.set_rates(step_rates, int(np.asarray(network.optimizer.iterations)))
        try:
            history = network.fit(
                batches, validation_data=validation_data, shuffle=False, verbose=0
            ).history
        except tf.errors.ResourceExhaustedError as error:
            raise TooLittleMemoryError(
                f"Training {recipe.name} needs more memory than is free: wait until other "
                f"processes have released theirs, or lower batch_size ({recipe.batch_size}) or "
                f"input_size ({recipe.input_size}) in the recipe."
            ) from error
        accuracy = "accuracy" if training.evidence_side is None else "logits_accuracy"
        # Keras adds the regularization penalty to the validation loss too.
        penalty = float(sum(network.losses))
        record = EpochRecord(
            epoch=epoch,
            epochs=recipe.epochs,
            phase=phase.name,
            loss=float(history["loss"][-1]),
            accuracy=float(history[accuracy][-1]),
            validation_loss=float(history["val_loss"][-1]) - penalty,
            validation_accuracy=float(history[f"val_{accuracy}"][-1]),
            learning_rate=float(step_rates.mean()),
            seconds=time.monotonic() - started,
            peak_memory_bytes=peak_memory_bytes(),
        )
        _check_finite(recipe, record)
        is_last_phase = first_epoch + phase.epochs > recipe.epochs
        progress = update_progress(recipe, progress, record, is_last_phase=is_last_phase)
        _save_epoch(training, progress)
        _log_epoch(recipe, record)
        training.on_epoch(record)
        if progress.stopped:
            logger.info("%s: stopped early after epoch %s", recipe.name, epoch)
            break
    return progress


def _save_epoch(training: Training, progress: TrainingState) -> None:
    epoch = progress.records[-1].epoch
    weights = read_variables(training.network.variables)
    if progress.best_epoch == epoch and training.recipe.kept_epoch == "best":
        save_best(training.checkpoint_dir, epoch, weights)
    optimizer = read_variables(training.trained_network.optimizer.variables)
    save_checkpoint(training.checkpoint_dir, Checkpoint(progress, weights, optimizer))
    remove_all_but_best(training.checkpoint_dir, progress.best_epoch)


def _log_epoch(recipe: Recipe, record: EpochRecord) -> None:
    logger.info(
        "%s epoch %s/%s (%s): loss %.4f, accuracy %.3f, validation loss %.4f, "
        "validation accuracy %.3f, learning rate %.2g, %.1f s",
        recipe.name,
        record.epoch,
        recipe.epochs,
        record.phase,
        record.loss,
        record.accuracy,
        record.validation_loss,
        record.validation_accuracy,
        record.learning_rate,
        record.seconds,
    )


def _check_finite(recipe: Recipe, record: EpochRecord) -> None:
    if not (math.isfinite(record.loss) and math.isfinite(record.validation_loss)):
        raise DivergedTrainingError(
            f"Training {recipe.name} diverged in epoch {record.epoch} (phase {record.phase}): loss "
            f"{record.loss}, validation loss {record.validation_loss}. Lower the phase's "
            "learning_rate, or set its warmup_epochs."
        )
