"""Input with tf.data: batches are read and augmented while the previous step runs.

An epoch's order and augmentation depend only on the seed and the number of the epoch, so a resumed
training sees the same batches as an uninterrupted one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf  # noqa: TID253

from tumorml.datasets.pixels import Masks
from tumorml.recipes.networks.layer_names import EVIDENCE, LOGITS
from tumorml.recipes.sections import Augmentation, ClassBalance
from tumorml.training.fitting.augmentation import augment, blend, draw_transforms
from tumorml.training.fitting.labeled_images import LabeledImages


def targets(labels: np.ndarray, class_count: int) -> np.ndarray:
    """Return float32 targets: `[n, 1]` for two classes, one-hot `[n, class_count]` for more."""
    if class_count == 2:
        return np.asarray(labels[:, None], np.float32)
    return np.asarray(labels[:, None] == np.arange(class_count), np.float32)


def balanced_weights(labels: np.ndarray, class_count: int) -> np.ndarray:
    """Return inverse class frequencies, float32 `[class_count]`, with a mean of 1 over scans."""
    counts = np.bincount(labels, minlength=class_count)
    present = np.count_nonzero(counts)
    weights = len(labels) / (present * np.maximum(counts, 1))
    return weights.astype(np.float32)


def balanced_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random order, int64 `[n]`, with equally many scans of each class.

    Within a class, the numbers of repetitions of two scans differ by at most one.
    """
    classes = np.unique(labels)
    class_shares = np.bincount(np.arange(len(labels)) % len(classes))
    drawn = []
    for label, share in zip(classes, class_shares, strict=True):
        scans = np.flatnonzero(labels == label)
        rounds = -(-share // len(scans))
        drawn.append(np.concatenate([rng.permutation(scans) for _ in range(rounds)])[:share])
    return rng.permutation(np.concatenate(drawn))


def steps_per_epoch(data: LabeledImages, batch_size: int) -> int:
    """Return the number of batches of `training_batches`."""
    return math.ceil(len(data) / batch_size)


def training_batches(
    data: LabeledImages,
    class_count: int,
    *,
    batch_size: int,
    augmentation: Augmentation,
    class_balance: ClassBalance,
    seed: int,
    epoch: int,
    evidence_side: int | None = None,
) -> tf.data.Dataset:
    """Return the batches of one epoch.

    All batches have the same size: the last one is filled with the epoch's first scans. Balanced
    sampling draws equally many scans of each class and does not change the length of the epoch.

    Args:
        data: Training scans.
        class_count: At least two.
        batch_size: Scans per batch.
        augmentation: Random transforms; masks get the same geometry as their scans.
        class_balance: How classes get equal influence.
        seed: Seed of the training.
        epoch: Number of the epoch, from 1.
        evidence_side: Side of the evidence map that is trained on masks; None if it is not.

    Returns:
        Elements (float32 `[b, S, S, 1]` in 0..255, float32 targets, float32 weights `[b]`). With
        `evidence_side` targets and weights are dicts by output, `logits` and `evidence`, and the
        target of `evidence` is float32 `[b, side, side, 1]` in 0..1.
    """
    steps = steps_per_epoch(data, batch_size)
    batch_size = min(batch_size, len(data))
    order_seed, augmentation_seed = np.random.SeedSequence([seed, epoch]).spawn(2)
    rng = np.random.default_rng(order_seed)
    order = (
        balanced_order(data.labels, rng)
        if class_balance == "sampling"
        else rng.permutation(len(data))
    )
    indices = np.resize(order, (steps, batch_size))
    class_weights = (
        balanced_weights(data.labels, class_count)
        if class_balance == "weights"
        else np.ones(class_count, np.float32)
    )
    all_transforms = draw_transforms(
        augmentation, indices.shape, data.images.shape[1], np.random.default_rng(augmentation_seed)
    )
    mask_augmentation = augmentation.model_copy(update={"brightness": 0.0, "contrast": 0.0})
    batches = (
        (indices, all_transforms, _mask_weights(data)[indices]),
        targets(data.labels, class_count)[indices],
        class_weights[data.labels][indices],
    )

    def read(batch: Any, target: tf.Tensor, weight: tf.Tensor) -> tuple[Any, ...]:
        chosen, transforms, mask_weight = batch
        images = augment(data.images, chosen, augmentation, transforms)
        if augmentation.mixup:
            images = blend(images, transforms.shares)
            target, weight = _blend_targets(target, weight, transforms.shares)
        if evidence_side is None:
            return images, target, weight
        masks = augment(data.masks, chosen, mask_augmentation, transforms)
        masks = _tumor_shares(masks, evidence_side)
        if augmentation.mixup:
            masks, mask_weight = _blend_targets(masks, mask_weight, transforms.shares)
        return _by_output(images, target, weight, masks, mask_weight)

    return _read_ahead(tf.data.Dataset.from_tensor_slices(batches), read)


def validation_batches(
    data: LabeledImages, class_count: int, *, batch_size: int, evidence_side: int | None = None
) -> tf.data.Dataset:
    """Return every scan once, in order and not augmented.

    The elements are those of `training_batches`, without class weights.
    """

    def read(chosen: tf.Tensor, mask_weight: tf.Tensor, target: tf.Tensor) -> tuple[Any, ...]:
        images = _read_pixels(data.images, chosen)
        if evidence_side is None:
            return images, target
        masks = _tumor_shares(_read_pixels(data.masks, chosen), evidence_side)
        return _by_output(images, target, tf.ones_like(mask_weight), masks, mask_weight)

    rows = (np.arange(len(data)), _mask_weights(data), targets(data.labels, class_count))
    return _read_ahead(tf.data.Dataset.from_tensor_slices(rows).batch(batch_size), read)


def _read_ahead(batches: tf.data.Dataset, read: Callable[..., Any]) -> tf.data.Dataset:
    """Read batches in a private thread pool.

    In TensorFlow's shared pool, reading would wait for the operations of the training step.
    """
    threads = max(1, (os.cpu_count() or 1) // 2)
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    read_ahead = batches.map(read, threads, deterministic=True).prefetch(2)
    return read_ahead.with_options(options)


def _read_pixels(pixels: Any, chosen: tf.Tensor) -> tf.Tensor:
    """Read scans or masks without augmentation, float32 `[b, S, S, 1]` in 0..255."""
    images = tf.numpy_function(lambda rows: pixels[rows], [chosen], tf.uint8)
    images = tf.ensure_shape(images, [*chosen.shape, *pixels.shape[1:]])
    return tf.cast(images, tf.float32)[..., None]


def _blend_targets(
    target: tf.Tensor, weight: tf.Tensor, shares: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Blend targets and weights so that each of two blended scans keeps its own weight.

    This works because the loss is linear in the target.
    """
    per_scan = [-1] + [1] * (len(target.shape) - 1)
    blended_weight = blend(weight, shares)
    weighted_target = blend(target * tf.reshape(weight, per_scan), shares)
    blended_target = tf.math.divide_no_nan(weighted_target, tf.reshape(blended_weight, per_scan))
    return blended_target, blended_weight


def _mask_weights(data: LabeledImages) -> np.ndarray:
    """Return weights of the evidence loss, float32 `[n]`: 0 for an unknown mask, 1 on average."""
    masks = data.masks
    is_known = np.zeros(len(data), np.bool_) if masks is None else masks.rows != Masks.UNKNOWN
    return np.asarray(is_known / max(is_known.mean(), 1 / len(data)), np.float32)


def _tumor_shares(masks: tf.Tensor, side: int) -> tf.Tensor:
    """Return the share of tumor pixels in each cell of the evidence map.

    Args:
        masks: float32 `[n, S, S, 1]` in 0..255.
        side: Side of the evidence map.

    Returns:
        float32 `[n, side, side, 1]` in 0..1.
    """
    stride = masks.shape[1] // side
    return tf.nn.avg_pool2d(masks / 255.0, stride, stride, "VALID")


def _by_output(
    images: tf.Tensor,
    target: tf.Tensor,
    weight: tf.Tensor,
    masks: tf.Tensor,
    mask_weight: tf.Tensor,
) -> tuple[tf.Tensor, dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    return (
        images,
        {LOGITS: target, EVIDENCE: masks},
        {LOGITS: weight, EVIDENCE: mask_weight},
    )
