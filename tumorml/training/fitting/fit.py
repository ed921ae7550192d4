"""Train a recipe's network: phases, a checkpoint after every epoch, resume."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras  # noqa: TID253
import numpy as np
import tensorflow as tf  # noqa: TID253

from tumorml.errors import BrokenTrainingError, TooLittleMemoryError, TumorMLError
from tumorml.labels import LABELS, Task
from tumorml.memory import peak_memory_bytes
from tumorml.recipes.networks.build_network import build_network
from tumorml.recipes.networks.copy_layers import load_keras
from tumorml.recipes.networks.layer_names import EVIDENCE_STRIDE
from tumorml.recipes.recipe import Recipe
from tumorml.recipes.sections import Phase
from tumorml.training.checkpoints.checkpoint import (
    Checkpoint,
    EpochRecord,
    TrainingState,
    finished_epochs,
    load_best,
    load_checkpoint,
    remove_all_but_best,
    save_best,
    save_checkpoint,
)
from tumorml.training.fitting.compile_phase import compile_phase, with_evidence_as_output
from tumorml.training.fitting.fused_batch_normalization import with_fused_batch_normalization
from tumorml.training.fitting.input_pipeline import (
    steps_per_epoch,
    training_batches,
    validation_batches,
)
from tumorml.training.fitting.labelled_images import LabelledImages
from tumorml.training.fitting.learning_rates import EpochRates, learning_rates

__all__ = ["EpochRecord", "LabelledImages", "finished_epochs", "fit"]

logger = logging.getLogger(__name__)


def fit(
    recipe: Recipe,
    task: Task,
    train: LabelledImages,
    validation: LabelledImages,
    *,
    checkpoint_dir: Path,
    seed: int,
    on_epoch: Callable[[EpochRecord], None],
    pretrained: Path | None = None,
    initial_weights: Path | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> keras.Model:
    """Train, or go on training, and return the network of the epoch that the recipe keeps.

    After every epoch a checkpoint is written to `checkpoint_dir`, then `on_epoch` is called. When
    the folder holds a checkpoint of the same recipe, task, data and seed, training goes on behind
    its last finished epoch and `on_epoch` is called for the remaining epochs only; the records of
    the earlier ones are `finished_epochs(checkpoint_dir)`.

    Args:
        recipe: what to train, and how.
        task: gives the classes.
        train: scans at the recipe's input size.
        validation: scans at the recipe's input size; their loss chooses the best epoch.
        checkpoint_dir: a folder of this training's own; made when missing.
        seed: of the weights, the order, the variations and dropout.
        on_epoch: told of every epoch; an exception from it ends the training, resumably.
        pretrained: the recipe's weights, as `find_weights` found them.
        initial_weights: a ``.keras`` file of the same network and classes to start from, in place
            of `pretrained`.
        strategy: how several devices share each batch; None: all GPUs of this machine do.

    Returns:
        The network with the weights of that epoch, not compiled.

    Raises:
        BrokenTrainingError: the loss is not finite.
        TooLittleMemoryError: a batch does not fit.
        TumorMLError: the weights do not fit, or the folder holds another training's checkpoint.
        ValueError: the scans are not at the recipe's input size, a label is out of range, or the
            recipe's weights were not given.
    """
    if recipe.weights != "none" and not (pretrained or initial_weights):
        raise ValueError(f"recipe {recipe.name} does not start from random weights")
    _check(recipe, task, train, validation)
    checkpoint_dir = Path(checkpoint_dir)
    class_count = len(LABELS[task])
    fingerprint = _fingerprint(recipe, task, train, validation, seed, initial_weights or pretrained)
    saved = load_checkpoint(checkpoint_dir)
    if saved and saved.progress.fingerprint != fingerprint:
        raise TumorMLError(
            f"{checkpoint_dir} holds the checkpoint of another training (another recipe, task, "
            "data, seed or start). Give each training a folder of its own, or empty this one."
        )
    start = None if saved or initial_weights else pretrained
    # A predictor in the same process has switched it off; another training would be slower.
    tf.config.experimental.enable_tensor_float_32_execution(True)
    strategy = strategy or _strategy()
    with strategy.scope():
        network = with_fused_batch_normalization(
            build_network(recipe, class_count, seed=seed, weights=start)
        )
        evidence_side = _trained_evidence(recipe, train, validation)
        # The same layers; what is kept are the variables of the one that answers.
        trained = network if evidence_side is None else with_evidence_as_output(network)
    if saved:
        _assign(network.variables, saved.network)
        logger.info("Resuming %s after epoch %s", recipe.name, len(saved.progress.records))
    elif initial_weights:
        _load_initial_weights(network, initial_weights)

    progress = saved.progress if saved else TrainingState(fingerprint)
    steps = steps_per_epoch(train, recipe.batch_size)
    first_epoch = 1
    for index, phase in enumerate(recipe.phases):
        done = len(progress.records) - (first_epoch - 1)
        if done < phase.epochs and not progress.stopped:
            if done <= 0:
                progress = progress.at_phase_start()
            with strategy.scope():
                rates = compile_phase(trained, recipe, phase, steps)
            if saved and done > 0:
                _assign(trained.optimizer.variables, saved.optimizer)
            progress = _run_phase(
                trained,
                network.variables,
                recipe,
                phase,
                rates,
                progress,
                train,
                validation,
                class_count=class_count,
                evidence_side=evidence_side,
                first_epoch=first_epoch,
                last_phase=index == len(recipe.phases) - 1,
                checkpoint_dir=checkpoint_dir,
                seed=seed,
                on_epoch=on_epoch,
            )
        first_epoch += phase.epochs

    if recipe.kept_epoch == "last":
        kept, weights = progress.records[-1], _values(network.variables)
    else:
        kept = progress.records[progress.best_epoch - 1]
        weights = load_best(checkpoint_dir, kept.epoch)
    answering = build_network(recipe, class_count, seed=seed)
    _assign(answering.variables, weights)
    logger.info(
        "%s: epoch %s of %s is kept, validation loss %.4f",
        recipe.name,
        kept.epoch,
        len(progress.records),
        kept.validation_loss,
    )
    return answering


def _run_phase(
    network: keras.Model,
    variables: list[keras.Variable],
    recipe: Recipe,
    phase: Phase,
    rates: EpochRates,
    progress: TrainingState,
    train: LabelledImages,
    validation: LabelledImages,
    *,
    class_count: int,
    evidence_side: int | None,
    first_epoch: int,
    last_phase: bool,
    checkpoint_dir: Path,
    seed: int,
    on_epoch: Callable[[EpochRecord], None],
) -> TrainingState:
    validation_data = validation_batches(
        validation, class_count, batch_size=recipe.batch_size, evidence_side=evidence_side
    )
    accuracy = "accuracy" if evidence_side is None else "logits_accuracy"
    for epoch in range(len(progress.records) + 1, first_epoch + phase.epochs):
        started = time.monotonic()
        batches = training_batches(
            train,
            class_count,
            batch_size=recipe.batch_size,
            augmentation=recipe.augmentation,
            class_balance=recipe.class_balance,
            seed=seed,
            epoch=epoch,
            evidence_side=evidence_side,
        )
        each = learning_rates(phase, epoch - first_epoch, len(batches), share=progress.rate_share)
        rates.follow(each, int(np.asarray(network.optimizer.iterations)))
        try:
            history = network.fit(
                batches, validation_data=validation_data, shuffle=False, verbose=0
            ).history
        except tf.errors.ResourceExhaustedError as error:
            raise TooLittleMemoryError(
                f"Training {recipe.name} wants more memory than is free: wait until others have "
                f"left it, or lower its batch_size ({recipe.batch_size}) or input_size "
                f"({recipe.input_size})."
            ) from error
        penalty = float(sum(network.losses))  # Keras adds it to the validation loss, too
        record = EpochRecord(
            epoch=epoch,
            epochs=recipe.epochs,
            phase=phase.name,
            loss=float(history["loss"][-1]),
            accuracy=float(history[accuracy][-1]),
            validation_loss=float(history["val_loss"][-1]) - penalty,
            validation_accuracy=float(history[f"val_{accuracy}"][-1]),
            learning_rate=float(each.mean()),
            seconds=time.monotonic() - started,
            peak_memory_bytes=peak_memory_bytes(),
        )
        _check_finite(recipe, record)
        gained = record.validation_loss < progress.best_validation_loss
        progress = _after_epoch(recipe, progress, record, last_phase=last_phase)
        weights = _values(variables)
        if gained and recipe.kept_epoch == "best":
            save_best(checkpoint_dir, epoch, weights)
        optimizer = _values(network.optimizer.variables)
        save_checkpoint(checkpoint_dir, Checkpoint(progress, weights, optimizer))
        remove_all_but_best(checkpoint_dir, progress.best_epoch)
        logger.info(
            "%s epoch %s/%s (%s): loss %.4f, accuracy %.3f, validation loss %.4f, "
            "validation accuracy %.3f, learning rate %.2g, %.1f s",
            recipe.name,
            epoch,
            recipe.epochs,
            phase.name,
            record.loss,
            record.accuracy,
            record.validation_loss,
            record.validation_accuracy,
            record.learning_rate,
            record.seconds,
        )
        on_epoch(record)
        if progress.stopped:
            logger.info("%s: stopped early after epoch %s", recipe.name, epoch)
            break
    return progress


def _after_epoch(
    recipe: Recipe, progress: TrainingState, record: EpochRecord, *, last_phase: bool
) -> TrainingState:
    records = (*progress.records, record)
    if record.validation_loss < progress.best_validation_loss:
        return replace(
            progress,
            records=records,
            best_epoch=record.epoch,
            best_validation_loss=record.validation_loss,
            epochs_since_gain=0,
            epochs_since_reduction=0,
        )
    since_gain = progress.epochs_since_gain + 1
    since_reduction = progress.epochs_since_reduction + 1
    rate_share = progress.rate_share
    plateau = recipe.reduce_on_plateau
    if plateau and since_reduction >= plateau.patience:
        rate_share = max(rate_share * plateau.factor, plateau.minimum_share)
        since_reduction = 0
    patience = recipe.early_stopping_patience
    return replace(
        progress,
        records=records,
        epochs_since_gain=since_gain,
        epochs_since_reduction=since_reduction,
        rate_share=rate_share,
        stopped=last_phase and patience is not None and since_gain >= patience,
    )


def _trained_evidence(
    recipe: Recipe, train: LabelledImages, validation: LabelledImages
) -> int | None:
    """The side of the evidence map where masks train it."""
    if recipe.evidence is None or not recipe.evidence.mask_weight:
        return None
    if validation.masks is None or train.masks is None or not len(train.masks.pixels):
        logger.info("%s: no training scan has a mask for the evidence map", recipe.name)
        return None
    return recipe.input_size // EVIDENCE_STRIDE


def _strategy() -> tf.distribute.Strategy:
    """All GPUs of this machine, each with its share of every batch; otherwise the one device."""
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _load_initial_weights(network: keras.Model, path: Path) -> None:
    source = load_keras(path)
    ours = [tuple(weight.shape) for weight in network.weights]
    theirs = [tuple(weight.shape) for weight in source.weights]
    if ours != theirs:
        raise TumorMLError(
            f"Initial weights {path} are of another network, of the same one as an older version "
            "of tumorml built it, or of another number of classes. Start from a model version of "
            "the same recipe and task that this version has trained, or from scratch "
            "(warm_start = false)."
        )
    network.set_weights(source.get_weights())


def _values(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in variables]


def _assign(variables: list[keras.Variable], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _check(recipe: Recipe, task: Task, train: LabelledImages, validation: LabelledImages) -> None:
    class_count = len(LABELS[task])
    for data in (train, validation):
        if data.images.shape[1] != recipe.input_size:
            raise ValueError(
                f"scans are {data.images.shape[1]} px, recipe {recipe.name} wants "
                f"{recipe.input_size} px"
            )
        if data.labels.min() < 0 or data.labels.max() >= class_count:
            raise ValueError(f"a label is outside 0..{class_count - 1}")


def _check_finite(recipe: Recipe, record: EpochRecord) -> None:
    if not (math.isfinite(record.loss) and math.isfinite(record.validation_loss)):
        raise BrokenTrainingError(
            f"Training {recipe.name} broke down in epoch {record.epoch} ({record.phase}): loss "
            f"{record.loss}, validation loss {record.validation_loss}. Lower the phase's "
            "learning_rate, or give it warmup_epochs."
        )


def _fingerprint(
    recipe: Recipe,
    task: Task,
    train: LabelledImages,
    validation: LabelledImages,
    seed: int,
    weights: Path | None,
) -> str:
    """SHA-256 of what decides a training; of the scans, their number, size and labels."""
    start = hashlib.sha256(weights.read_bytes()).hexdigest() if weights else None
    parts: list[Any] = [recipe.digest, task.value, seed, start]
    for data in (train, validation):
        parts += [list(data.images.shape), hashlib.sha256(data.labels.tobytes()).hexdigest()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
