"""How a recipe's augmentation varies scans: drawn for a whole epoch, done batch by batch."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
import tensorflow as tf  # noqa: TID253

from tumorml.recipes.sections import Augmentation

# Batches are varied side by side already.
cv2.setNumThreads(1)


class Variations(NamedTuple):
    """How each scan is varied.

    Attributes:
        matrices: float32 `[..., 2, 3]`, from a place in the varied scan to the one that it shows.
        gains: float32 `[...]`, what contrast is multiplied by.
        offsets: float32 `[...]`, what is added to the brightness, of 255.
        shares: float32 `[...]`, how much of a blend is the scan's own; the rest is its neighbour's.
    """

    matrices: Any
    gains: Any
    offsets: Any
    shares: Any


def draw_variations(
    augmentation: Augmentation, shape: tuple[int, ...], side: int, rng: np.random.Generator
) -> Variations:
    """Draw for each of `shape` scans how it is varied.

    Args:
        augmentation: how far.
        shape: of what is drawn.
        side: of the scans, in pixels.
        rng: where from.
    """
    flip, *others = rng.uniform(-1.0, 1.0, (8, *shape))
    varied = rng.uniform(size=shape) < augmentation.share
    turn, zoom, shift_x, shift_y, brightness, contrast, shear = (part * varied for part in others)
    mirror = np.where(flip < 0, -1.0, 1.0) if augmentation.flip else np.ones(shape)
    angle = turn * math.radians(augmentation.rotation_degrees)
    scale = 1.0 + zoom * augmentation.zoom
    slant = np.tan(shear * math.radians(augmentation.shear_degrees))
    xx, xy = mirror * np.cos(angle) / scale, -np.sin(angle) / scale
    yx, yy = mirror * np.sin(angle) / scale, np.cos(angle) / scale
    xy, yy = xy + slant * xx, yy + slant * yx
    centre = (side - 1) / 2.0
    x0 = centre - (xx + xy) * centre + shift_x * augmentation.shift * side
    y0 = centre - (yx + yy) * centre + shift_y * augmentation.shift * side
    matrices = np.stack([np.stack([xx, xy, x0], -1), np.stack([yx, yy, y0], -1)], -2)
    # Mixup (Zhang et al. 2018, arXiv:1710.09412); the larger share is the scan's own.
    alpha = augmentation.mixup
    share = rng.beta(alpha, alpha, shape) if alpha else np.ones(shape)
    return Variations(
        *(
            values.astype(np.float32)
            for values in (
                matrices,
                1.0 + contrast * augmentation.contrast,
                brightness * augmentation.brightness * 255.0,
                np.maximum(share, 1.0 - share),
            )
        )
    )


def vary(
    pixels: Any, chosen: tf.Tensor, augmentation: Augmentation, variations: Variations
) -> tf.Tensor:
    """Read some scans and vary each on its own, with one interpolation for all that moves it.

    Args:
        pixels: uint8 `[n, S, S]`, of which the chosen are read.
        chosen: int64 `[b]`.
        augmentation: what was drawn from; what it leaves alone takes no time.
        variations: of shape `[b]`; `shares` are for `blend`.

    Returns:
        float32 `[b, S, S, 1]` in 0..255; what comes in over an edge is black.
    """
    # One call into Python for both: a call costs as much as moving several scans.
    moved = tf.numpy_function(
        lambda rows, matrices: _moved(pixels[rows], matrices),
        [chosen, variations.matrices],
        tf.uint8,
    )
    images = tf.ensure_shape(moved, [*chosen.shape, *pixels.shape[1:]])
    images = tf.cast(images, tf.float32)[..., None]
    if augmentation.contrast:
        means = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
        images = means + (images - means) * _like(images, variations.gains)
    if augmentation.brightness:
        images = images + _like(images, variations.offsets)
    if augmentation.contrast or augmentation.brightness:
        images = tf.clip_by_value(images, 0.0, 255.0)
    return images


def blend(part: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
    """What belongs to each scan, mixed with what belongs to its neighbour in the batch.

    Args:
        part: float32 `[n, ...]`: scans, targets or weights.
        shares: float32 `[n]`, how much is the scan's own.
    """
    own = _like(part, shares)
    return own * part + (1.0 - own) * tf.roll(part, 1, axis=0)


def _like(part: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    return tf.reshape(values, [-1] + [1] * (len(part.shape) - 1))


def _moved(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """In place. OpenCV takes a sixth of the time of TensorFlow's ImageProjectiveTransformV3."""
    side = images.shape[1]
    stays = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    is_mirrored = np.array([[-1, 0, side - 1], [0, 1, 0]], np.float32)
    still, mirrored = ((matrices == matrix).all(axis=(1, 2)) for matrix in (stays, is_mirrored))
    images[mirrored] = images[mirrored, :, ::-1]
    for scan in np.flatnonzero(~(still | mirrored)):
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        images[scan] = cv2.warpAffine(images[scan], matrices[scan], (side, side), flags=flags)
    return images
