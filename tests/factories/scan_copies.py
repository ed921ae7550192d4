"""Copies of a scan as people make them: turned, re-encoded, resized, padded, cut, lit, noisy."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from tumorml.scans.images.fingerprint import oriented

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, np.random.Generator], Pixels]


def turned_or_mirrored(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return np.asarray(oriented(pixels, int(rng.integers(1, 8))), np.uint8)


def as_jpeg(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(rng.integers(40, 96)))
    return np.asarray(Image.open(buffer).convert("L"))


def resized(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    longest = round(128 * 8 ** rng.random())
    height, width = (max(1, round(side * longest / max(pixels.shape))) for side in pixels.shape)
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def padded(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    top, bottom, left, right = (
        round(pixels.shape[axis] * rng.uniform(0, 0.15)) for axis in (0, 0, 1, 1)
    )
    return np.pad(pixels, ((top, bottom), (left, right)))


def cropped_to_head(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Cut off the dark border but for up to three pixels."""
    bright = pixels > max(20, 0.1 * float(np.percentile(pixels, 99)))
    rows = np.flatnonzero(bright.mean(axis=1) > 0.02)
    columns = np.flatnonzero(bright.mean(axis=0) > 0.02)
    margin = int(rng.integers(0, 4))
    return pixels[
        max(0, rows[0] - margin) : rows[-1] + 1 + margin,
        max(0, columns[0] - margin) : columns[-1] + 1 + margin,
    ]


def relit(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    image = Image.fromarray(pixels)
    image = ImageEnhance.Brightness(image).enhance(float(rng.uniform(0.8, 1.2)))
    return np.asarray(ImageEnhance.Contrast(image).enhance(float(rng.uniform(0.8, 1.2))))


def with_noise(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    noise = rng.normal(0, rng.uniform(1, 4), pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


COPIES: dict[str, Change] = {
    "turned or mirrored": turned_or_mirrored,
    "as JPEG": as_jpeg,
    "resized": resized,
    "padded": padded,
    "cropped to head": cropped_to_head,
    "relit": relit,
    "with noise": with_noise,
}
"""The kinds of copies whose original is found."""
