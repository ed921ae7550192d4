"""Train a recipe's network, phase by phase, with a checkpoint after every epoch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import keras  # noqa: TID253
import tensorflow as tf  # noqa: TID253

from tumorml.errors import TumorMLError
from tumorml.labels import LABELS, Task
from tumorml.recipes.networks.build_network import build_network
from tumorml.recipes.networks.layer_names import EVIDENCE_STRIDE
from tumorml.recipes.recipe import Recipe
from tumorml.training.checkpoints.checkpoint import (
    EpochRecord,
    TrainingState,
    load_best,
    load_checkpoint,
)
from tumorml.training.fitting.compile_phase import compile_phase, with_evidence_output
from tumorml.training.fitting.fingerprint import training_fingerprint
from tumorml.training.fitting.fused_batch_normalization import with_fused_batch_normalization
from tumorml.training.fitting.input_pipeline import steps_per_epoch
from tumorml.training.fitting.labeled_images import LabeledImages
from tumorml.training.fitting.train_phase import Training, train_phase
from tumorml.training.fitting.variables import (
    assign_variables,
    load_initial_weights,
    read_variables,
)

logger = logging.getLogger(__name__)


def fit(
    recipe: Recipe,
    task: Task,
    train: LabeledImages,
    validation: LabeledImages,
    *,
    checkpoint_dir: Path,
    seed: int,
    on_epoch: Callable[[EpochRecord], None],
    pretrained: Path | None = None,
    initial_weights: Path | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> keras.Model:
    """Train a network, or resume its training, and return the epoch that the recipe keeps.

    After every epoch a checkpoint is written to `checkpoint_dir`, then `on_epoch` is called. If the
    folder has a checkpoint of the same recipe, task, data and seed, training resumes after its last
    finished epoch, and `on_epoch` is called for the remaining epochs only.
    `finished_epochs(checkpoint_dir)` returns the records of the earlier ones.

    Args:
        recipe: The recipe.
        task: The task; it determines the classes.
        train: Training scans at the recipe's input size.
        validation: Validation scans at the recipe's input size; the best epoch is the one with the
            lowest loss on them.
        checkpoint_dir: A folder for this training only; created if missing.
        seed: Seed of the weights, the order of scans, the augmentation and dropout.
        on_epoch: Called after every epoch; an exception ends the training, which can be resumed.
        pretrained: The recipe's weights, as returned by `find_weights`.
        initial_weights: A ``.keras`` file of the same network and classes to start from, instead
            of `pretrained`.
        strategy: Distribution of each batch over devices; None for all GPUs of this machine.

    Returns:
        The network with the weights of the kept epoch, not compiled.

    Raises:
        DivergedTrainingError: The loss is not finite.
        TooLittleMemoryError: A batch does not fit into memory.
        TumorMLError: The weights do not fit, or the folder has a checkpoint of another training.
        ValueError: The scans have another size than the recipe's input, a label is out of range,
            or the recipe's weights are missing.
    """
    if recipe.weights != "none" and not (pretrained or initial_weights):
        raise ValueError(f"recipe {recipe.name} needs pretrained weights, but none were given")
    _check_data(recipe, task, train, validation)
    checkpoint_dir = Path(checkpoint_dir)
    class_count = len(LABELS[task])
    weights_file = initial_weights or pretrained
    fingerprint = training_fingerprint(recipe, task, train, validation, seed, weights_file)
    saved = load_checkpoint(checkpoint_dir)
    if saved and saved.progress.fingerprint != fingerprint:
        raise TumorMLError(
            f"{checkpoint_dir} has a checkpoint of another training (another recipe, task, data, "
            "seed or initial weights). Use a separate folder for each training, or empty this one."
        )
    # A predictor in the same process disables TensorFloat-32, which would slow this training down.
    tf.config.experimental.enable_tensor_float_32_execution(True)
    strategy = strategy or _all_gpus()
    with strategy.scope():
        network = with_fused_batch_normalization(
            build_network(
                recipe,
                class_count,
                seed=seed,
                weights=None if saved or initial_weights else pretrained,
            )
        )
        evidence_side = _trained_evidence_side(recipe, train, validation)
        trained_network = network if evidence_side is None else with_evidence_output(network)
    if saved:
        assign_variables(network.variables, saved.network)
        logger.info("resuming %s after epoch %s", recipe.name, len(saved.progress.records))
    elif initial_weights:
        load_initial_weights(network, initial_weights)

    training = Training(
        recipe=recipe,
        network=network,
        trained_network=trained_network,
        class_count=class_count,
        train=train,
        validation=validation,
        evidence_side=evidence_side,
        checkpoint_dir=checkpoint_dir,
        seed=seed,
        on_epoch=on_epoch,
    )
    progress = saved.progress if saved else TrainingState(fingerprint)
    first_epoch = 1
    for phase in recipe.phases:
        finished = len(progress.records) - (first_epoch - 1)
        if finished < phase.epochs and not progress.stopped:
            if finished <= 0:
                progress = progress.at_phase_start()
            with strategy.scope():
                steps = steps_per_epoch(train, recipe.batch_size)
                rates = compile_phase(trained_network, recipe, phase, steps)
            if saved and finished > 0:
                assign_variables(trained_network.optimizer.variables, saved.optimizer)
            progress = train_phase(training, phase, rates, progress, first_epoch)
        first_epoch += phase.epochs

    if recipe.kept_epoch == "last":
        kept, weights = progress.records[-1], read_variables(network.variables)
    else:
        kept = progress.records[progress.best_epoch - 1]
        weights = load_best(checkpoint_dir, kept.epoch)
    model = build_network(recipe, class_count, seed=seed)
    assign_variables(model.variables, weights)
    logger.info(
        "%s: kept epoch %s of %s, validation loss %.4f",
        recipe.name,
        kept.epoch,
        len(progress.records),
        kept.validation_loss,
    )
    return model


def _trained_evidence_side(
    recipe: Recipe, train: LabeledImages, validation: LabeledImages
) -> int | None:
    """Return the side of the evidence map if masks train it, otherwise None."""
    if recipe.evidence is None or not recipe.evidence.mask_weight:
        return None
    if validation.masks is None or train.masks is None or not len(train.masks.pixels):
        logger.info("%s: no training scan has a mask for the evidence map", recipe.name)
        return None
    return recipe.input_size // EVIDENCE_STRIDE


def _all_gpus() -> tf.distribute.Strategy:
    """Return a strategy that splits each batch over all GPUs, or the default one."""
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _check_data(
    recipe: Recipe, task: Task, train: LabeledImages, validation: LabeledImages
) -> None:
    class_count = len(LABELS[task])
    for data in (train, validation):
        if data.images.shape[1] != recipe.input_size:
            raise ValueError(
                f"scans are {data.images.shape[1]} px, recipe {recipe.name} needs "
                f"{recipe.input_size} px"
            )
        if data.labels.min() < 0 or data.labels.max() >= class_count:
            raise ValueError(f"a label is outside 0..{class_count - 1}")
