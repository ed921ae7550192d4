"""Augmentation of training scans: drawn once per epoch, applied batch by batch."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
import tensorflow as tf  # noqa: TID253

from tumorml.recipes.sections import Augmentation

# The input pipeline already augments batches in parallel.
cv2.setNumThreads(1)


class Transforms(NamedTuple):
    """Random transforms, one for each scan.

    Attributes:
        matrices: float32 `[..., 2, 3]`, affine map from output to input pixel positions (x, y).
        gains: float32 `[...]`, contrast factors.
        offsets: float32 `[...]`, brightness offsets on the scale 0..255.
        shares: float32 `[...]`, share of the scan itself in a blend with its neighbor, 0.5..1.
    """

    matrices: Any
    gains: Any
    offsets: Any
    shares: Any


def draw_transforms(
    augmentation: Augmentation, shape: tuple[int, ...], side: int, rng: np.random.Generator
) -> Transforms:
    """Draw a random transform for each scan.

    Args:
        augmentation: Ranges of the transforms.
        shape: Shape of the array of scans.
        side: Side of the scans, in pixels.
        rng: Random generator.
    """
    flip, *others = rng.uniform(-1.0, 1.0, (8, *shape))
    is_transformed = rng.uniform(size=shape) < augmentation.share
    rotation, zoom, shift_x, shift_y, brightness, contrast, shear = (
        value * is_transformed for value in others
    )
    mirror = np.where(flip < 0, -1.0, 1.0) if augmentation.flip else np.ones(shape)
    angle = rotation * math.radians(augmentation.rotation_degrees)
    scale = 1.0 + zoom * augmentation.zoom
    slant = np.tan(shear * math.radians(augmentation.shear_degrees))
    xx, xy = mirror * np.cos(angle) / scale, -np.sin(angle) / scale
    yx, yy = mirror * np.sin(angle) / scale, np.cos(angle) / scale
    xy, yy = xy + slant * xx, yy + slant * yx
    center = (side - 1) / 2.0
    x0 = center - (xx + xy) * center + shift_x * augmentation.shift * side
    y0 = center - (yx + yy) * center + shift_y * augmentation.shift * side
    matrices = np.stack([np.stack([xx, xy, x0], -1), np.stack([yx, yy, y0], -1)], -2)
    # Mixup (Zhang et al. 2018, arXiv:1710.09412); the larger share is the scan's own.
    alpha = augmentation.mixup
    share = rng.beta(alpha, alpha, shape) if alpha else np.ones(shape)
    return Transforms(
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


def augment(
    pixels: Any, chosen: tf.Tensor, augmentation: Augmentation, transforms: Transforms
) -> tf.Tensor:
    """Read scans and transform each one; all geometric transforms are one interpolation.

    Args:
        pixels: uint8 `[n, S, S]`, all scans.
        chosen: int64 `[b]`, indices of the scans to read.
        augmentation: The recipe's section; contrast and brightness of 0 are skipped.
        transforms: Transforms of shape `[b]`; `shares` are not applied here but by `blend`.

    Returns:
        float32 `[b, S, S, 1]` in 0..255; pixels from outside the scan are black.
    """
    # One call into Python does both, because a call takes as long as transforming several scans.
    warped = tf.numpy_function(
        lambda rows, matrices: _warp(pixels[rows], matrices),
        [chosen, transforms.matrices],
        tf.uint8,
    )
    images = tf.ensure_shape(warped, [*chosen.shape, *pixels.shape[1:]])
    images = tf.cast(images, tf.float32)[..., None]
    if augmentation.contrast:
        means = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
        images = means + (images - means) * _broadcastable(transforms.gains, images)
    if augmentation.brightness:
        images = images + _broadcastable(transforms.offsets, images)
    if augmentation.contrast or augmentation.brightness:
        images = tf.clip_by_value(images, 0.0, 255.0)
    return images


def blend(values: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
    """Blend the values of each scan with those of its neighbor in the batch.

    Args:
        values: float32 `[n, ...]`: scans, targets or weights.
        shares: float32 `[n]` in 0..1, the share of the scan's own values.
    """
    own_share = _broadcastable(shares, values)
    return own_share * values + (1.0 - own_share) * tf.roll(values, 1, axis=0)


def _broadcastable(per_scan: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Reshape `[n]` to `[n, 1, ...]` with as many axes as `values`."""
    return tf.reshape(per_scan, [-1] + [1] * (len(values.shape) - 1))


def _warp(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Apply affine maps to images, in place; exact for identity and mirror.

    OpenCV takes a sixth of the time of TensorFlow's ImageProjectiveTransformV3.
    """
    side = images.shape[1]
    identity = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    mirror = np.array([[-1, 0, side - 1], [0, 1, 0]], np.float32)
    is_identity, is_mirror = ((matrices == m).all(axis=(1, 2)) for m in (identity, mirror))
    images[is_mirror] = images[is_mirror, :, ::-1]
    for scan in np.flatnonzero(~(is_identity | is_mirror)):
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        images[scan] = cv2.warpAffine(images[scan], matrices[scan], (side, side), flags=flags)
    return images
