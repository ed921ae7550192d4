"""tf.data input: batches read and varied as they are needed.

What an epoch draws depends on the seed and the number of the epoch alone, so a training that is
resumed sees what it would have seen.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf  # noqa: TID253

from tumorml.datasets.pixels import Masks
from tumorml.recipes.sections import Augmentation, ClassBalance
from tumorml.training.fitting.augmentation import blend, draw_variations, vary
from tumorml.training.fitting.labelled_images import LabelledImages


def targets(labels: np.ndarray, class_count: int) -> np.ndarray:
    """Float32 targets `[n, 1]` for two classes, one-hot `[n, class_count]` for more."""
    if class_count == 2:
        return np.asarray(labels[:, None], np.float32)
    return np.asarray(labels[:, None] == np.arange(class_count), np.float32)


def balanced_weights(labels: np.ndarray, class_count: int) -> np.ndarray:
    """Float32 `[class_count]`: inverse class frequency, scaled so that scans weigh 1 on average."""
    counts = np.bincount(labels, minlength=class_count)
    present = np.count_nonzero(counts)
    weights = len(labels) / (present * np.maximum(counts, 1))
    return weights.astype(np.float32)


def balanced_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Int64 `[n]`: indices in which each class stands as often, its scans in turn."""
    classes = np.unique(labels)
    shares = np.bincount(np.arange(len(labels)) % len(classes))
    drawn = []
    for label, share in zip(classes, shares, strict=True):
        scans = np.flatnonzero(labels == label)
        rounds = -(-share // len(scans))
        drawn.append(np.concatenate([rng.permutation(scans) for _ in range(rounds)])[:share])
    return rng.permutation(np.concatenate(drawn))


def steps_per_epoch(data: LabelledImages, batch_size: int) -> int:
    """How many batches `training_batches` has."""
    return math.ceil(len(data) / batch_size)


def training_batches(
    data: LabelledImages,
    class_count: int,
    *,
    batch_size: int,
    augmentation: Augmentation,
    class_balance: ClassBalance,
    seed: int,
    epoch: int,
    evidence_side: int | None = None,
) -> tf.data.Dataset:
    """One epoch in the order and with the variations that `seed` and `epoch` decide.

    All batches are of one size: scans from the start of the epoch's order fill the last. With
    balanced sampling each class is drawn as often as any other, and the epoch is as long.

    Args:
        data: what is read.
        class_count: at least two.
        batch_size: scans in a batch.
        augmentation: how scans are varied; masks move with them.
        class_balance: how classes are made to count alike.
        seed: of the training.
        epoch: from one.
        evidence_side: of the map that is trained on masks; None: there is none.

    Returns:
        Elements (float32 `[b, S, S, 1]` in 0..255, float32 targets, float32 weights `[b]`); with
        `evidence_side` targets and weights are by the names of the outputs, `logits` and
        `evidence`, and the second target is float32 `[b, side, side, 1]` in 0..1.
    """
    steps = steps_per_epoch(data, batch_size)
    batch_size = min(batch_size, len(data))
    order_source, variation_source = np.random.SeedSequence([seed, epoch]).spawn(2)
    rng = np.random.default_rng(order_source)
    order = (
        balanced_order(data.labels, rng)
        if class_balance == "sampling"
        else rng.permutation(len(data))
    )
    indices = np.resize(order, (steps, batch_size))
    weights = (
        balanced_weights(data.labels, class_count)
        if class_balance == "weights"
        else np.ones(class_count, np.float32)
    )
    variations = draw_variations(
        augmentation, indices.shape, data.images.shape[1], np.random.default_rng(variation_source)
    )
    # Masks move as their scans do, and are not lit.
    places = augmentation.model_copy(update={"brightness": 0.0, "contrast": 0.0})
    rows = (
        (indices, variations, _known(data)[indices]),
        targets(data.labels, class_count)[indices],
        weights[data.labels][indices],
    )

    def read(chosen: Any, target: tf.Tensor, weight: tf.Tensor) -> tuple[Any, ...]:
        scans, varied, known = chosen
        images = vary(data.images, scans, augmentation, varied)
        if augmentation.mixup:
            images = blend(images, varied.shares)
            target, weight = _blended(target, weight, varied.shares)
        if evidence_side is None:
            return images, target, weight
        masks = _fields(vary(data.masks, scans, places, varied), evidence_side)
        if augmentation.mixup:
            masks, known = _blended(masks, known, varied.shares)
        return _with_evidence(images, target, weight, masks, known)

    return _read_ahead(tf.data.Dataset.from_tensor_slices(rows), read)


def validation_batches(
    data: LabelledImages, class_count: int, *, batch_size: int, evidence_side: int | None = None
) -> tf.data.Dataset:
    """Every scan once, in order, unvaried: elements as those of `training_batches`, unweighted."""

    def read(chosen: tf.Tensor, known: tf.Tensor, target: tf.Tensor) -> tuple[Any, ...]:
        images = _read(data.images, chosen)
        if evidence_side is None:
            return images, target
        fields = _fields(_read(data.masks, chosen), evidence_side)
        return _with_evidence(images, target, tf.ones_like(known), fields, known)

    rows = (np.arange(len(data)), _known(data), targets(data.labels, class_count))
    return _read_ahead(tf.data.Dataset.from_tensor_slices(rows).batch(batch_size), read)


def _read_ahead(batches: tf.data.Dataset, read: Callable[..., Any]) -> tf.data.Dataset:
    """In threads of their own: among the operations of a training step, a batch is late."""
    threads = max(1, (os.cpu_count() or 1) // 2)
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    read_ahead = batches.map(read, threads, deterministic=True).prefetch(2)
    return read_ahead.with_options(options)


def _read(pixels: Any, chosen: tf.Tensor) -> tf.Tensor:
    """The chosen scans as they are, float32 `[b, S, S, 1]` in 0..255."""
    images = tf.numpy_function(lambda rows: pixels[rows], [chosen], tf.uint8)
    images = tf.ensure_shape(images, [*chosen.shape, *pixels.shape[1:]])
    return tf.cast(images, tf.float32)[..., None]


def _blended(
    target: tf.Tensor, weight: tf.Tensor, shares: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The loss is linear in the target: each of two blended scans keeps its own weight."""
    each = [-1] + [1] * (len(target.shape) - 1)
    blended = blend(weight, shares)
    weighed = blend(target * tf.reshape(weight, each), shares)
    return tf.math.divide_no_nan(weighed, tf.reshape(blended, each)), blended


def _known(data: LabelledImages) -> np.ndarray:
    """Float32 `[n]`: zero where nobody knows where the tumour lies; one on average."""
    masks = data.masks
    known = np.zeros(len(data), np.bool_) if masks is None else masks.rows != Masks.UNKNOWN
    return np.asarray(known / max(known.mean(), 1 / len(data)), np.float32)


def _fields(masks: tf.Tensor, side: int) -> tf.Tensor:
    """The share of tumour in each field of the map: float32 `[n, S, S, 1]` in 0..255 to 0..1."""
    field = masks.shape[1] // side
    return tf.nn.avg_pool2d(masks / 255.0, field, field, "VALID")


def _with_evidence(
    images: tf.Tensor, target: tf.Tensor, weight: tf.Tensor, fields: tf.Tensor, known: tf.Tensor
) -> tuple[tf.Tensor, dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    return (
        images,
        {"logits": target, "evidence": fields},
        {"logits": weight, "evidence": known},
    )
