"""tf.data input: batches read as they are needed, and varied in the graph.

What an epoch draws depends on the seed and the number of the epoch alone, so a training that is
resumed sees what it would have seen.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import tensorflow as tf  # noqa: TID253

from tumorml.recipes.recipe import Augmentation, ClassBalance
from tumorml.training.labelled_images import LabelledImages


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


def training_batches(
    data: LabelledImages,
    class_count: int,
    *,
    batch_size: int,
    augmentation: Augmentation,
    class_balance: ClassBalance,
    seed: int,
    epoch: int,
) -> tf.data.Dataset:
    """One epoch in the order and with the variations that `seed` and `epoch` decide.

    All batches are of one size: scans from the start of the epoch's order fill the last. With
    balanced sampling each class is drawn as often as any other, and the epoch is as long.

    Returns:
        Elements (float32 `[b, S, S, 1]` in 0..255, float32 targets, float32 weights `[b]`).
    """
    batch_size = min(batch_size, len(data))
    steps = math.ceil(len(data) / batch_size)
    order_source, variation_source = np.random.SeedSequence([seed, epoch]).spawn(2)
    rng = np.random.default_rng(order_source)
    order = (
        balanced_order(data.labels, rng)
        if class_balance == "sampling"
        else rng.permutation(len(data))
    )
    indices = np.resize(order, (steps, batch_size))
    variation_seed = int(variation_source.generate_state(1)[0])
    weights = (
        balanced_weights(data.labels, class_count)
        if class_balance == "weights"
        else np.ones(class_count, np.float32)
    )
    batch_targets = targets(data.labels, class_count)[indices]
    batch_weights = weights[data.labels][indices]

    def read(step: tf.Tensor, batch: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
        chosen, *answers = batch
        seed_of_step = tf.stack([variation_seed, step])
        images = augment(_read_images(data, chosen, batch_size), augmentation, seed_of_step)
        if augmentation.mixup:
            return blend((images, *answers), augmentation.mixup, seed_of_step)
        return images, *answers

    batches = tf.data.Dataset.from_tensor_slices((indices, batch_targets, batch_weights))
    return batches.enumerate().map(read, tf.data.AUTOTUNE, deterministic=True).prefetch(2)


def validation_batches(
    data: LabelledImages, class_count: int, *, batch_size: int
) -> tf.data.Dataset:
    """Every scan once, in order, unvaried: (float32 `[b, S, S, 1]` in 0..255, float32 targets)."""

    def read(chosen: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _read_images(data, chosen, None), target

    rows = (np.arange(len(data)), targets(data.labels, class_count))
    batches = tf.data.Dataset.from_tensor_slices(rows).batch(batch_size)
    return batches.map(read, tf.data.AUTOTUNE, deterministic=True).prefetch(2)


def _read_images(data: LabelledImages, chosen: tf.Tensor, count: int | None) -> tf.Tensor:
    images = tf.numpy_function(lambda rows: data.images[rows], [chosen], tf.uint8)
    images = tf.ensure_shape(images, [count, *data.images.shape[1:]])
    return tf.cast(images, tf.float32)[..., None]


def augment(images: tf.Tensor, augmentation: Augmentation, seed: Any) -> tf.Tensor:
    """Vary each scan of a batch on its own, with one interpolation for all that moves it.

    Args:
        images: float32 `[n, S, S, 1]` in 0..255.
        augmentation: how far; with all zero the batch comes back as it is.
        seed: integers `[2]`; the same seed gives the same variations.

    Returns:
        float32 `[n, S, S, 1]` in 0..255; what comes in over an edge is black.
    """
    count = tf.shape(images)[0]
    draws = tf.unstack(tf.random.stateless_uniform([8, count], seed, -1.0, 1.0))
    flip, turn, zoom, shift_x, shift_y, brightness, contrast, shear = draws
    if augmentation.moves:
        images = _moved(
            images,
            mirror=tf.where(flip < 0, -1.0, 1.0) if augmentation.flip else tf.ones_like(flip),
            angle=turn * math.radians(augmentation.rotation_degrees),
            scale=1.0 + zoom * augmentation.zoom,
            slant=tf.tan(shear * math.radians(augmentation.shear_degrees)),
            shift_x=shift_x * augmentation.shift,
            shift_y=shift_y * augmentation.shift,
        )
    if augmentation.contrast:
        means = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
        images = means + (images - means) * _each(1.0 + contrast * augmentation.contrast)
    if augmentation.brightness:
        images = images + _each(brightness * augmentation.brightness * 255.0)
    return tf.clip_by_value(images, 0.0, 255.0)


def blend(parts: tuple[tf.Tensor, ...], alpha: float, seed: Any) -> tuple[tf.Tensor, ...]:
    """Mixup (Zhang et al. 2018): each scan, target and weight mixed with its neighbour's.

    Args:
        parts: float32 `[n, ...]` each.
        alpha: of the Beta distribution of the shares; the larger share is the scan's own.
        seed: integers `[2]`; the same seed gives the same shares.
    """
    count = tf.shape(parts[0])[0]
    first, second = tf.unstack(tf.random.stateless_gamma([2, count], seed, alpha))
    share = tf.math.divide_no_nan(first, first + second)
    share = tf.maximum(share, 1.0 - share)

    def mixed(part: tf.Tensor) -> tf.Tensor:
        own = tf.reshape(share, [-1] + [1] * (len(part.shape) - 1))
        return own * part + (1.0 - own) * tf.roll(part, 1, axis=0)

    return tuple(mixed(part) for part in parts)


def _each(values: tf.Tensor) -> tf.Tensor:
    return values[:, None, None, None]


def _moved(
    images: tf.Tensor,
    *,
    mirror: tf.Tensor,
    angle: tf.Tensor,
    scale: tf.Tensor,
    slant: tf.Tensor,
    shift_x: tf.Tensor,
    shift_y: tf.Tensor,
) -> tf.Tensor:
    side = images.shape[1]
    centre = (side - 1) / 2.0
    # The transform maps an output pixel to the input pixel that it shows, about the centre.
    xx, xy = mirror * tf.cos(angle) / scale, -tf.sin(angle) / scale
    yx, yy = mirror * tf.sin(angle) / scale, tf.cos(angle) / scale
    xy, yy = xy + slant * xx, yy + slant * yx
    x0 = centre - (xx + xy) * centre + shift_x * side
    y0 = centre - (yx + yy) * centre + shift_y * side
    matrices = tf.reshape(tf.stack([xx, xy, x0, yx, yy, y0], axis=1), [-1, 2, 3])
    return tf.ensure_shape(tf.numpy_function(_warped, [images, matrices], tf.float32), images.shape)


def _warped(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """OpenCV takes a sixth of the time of TensorFlow's ImageProjectiveTransformV3 for the same."""
    moved = np.empty_like(images)
    size = images.shape[2], images.shape[1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for image, matrix, target in zip(images, matrices, moved, strict=True):
        cv2.warpAffine(image, matrix, size, dst=target, flags=flags)
    return moved
