"""Resize scans to the square input of a network, and maps of the input to the scan's size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

PREPROCESSING = "fit-to-square, bilinear"
"""Name of the preprocessing in `fit_to_square`. Change both together: models record the name."""


class Placement(NamedTuple):
    """Position of a resized scan in the square, in pixels of the square."""

    top: int
    left: int
    height: int
    width: int


def placement(height: int, width: int, size: int) -> Placement:
    """Return the position of a scan of this height and width, in pixels, in `fit_to_square`."""
    scale = size / max(height, width)
    fitted_height = min(size, max(1, round(height * scale)))
    fitted_width = min(size, max(1, round(width * scale)))
    return Placement(
        (size - fitted_height) // 2, (size - fitted_width) // 2, fitted_height, fitted_width
    )


def fit_to_square(pixels: np.ndarray, size: int) -> np.ndarray:
    """Scale a scan so that its longer side is `size`, and center it on a black square.

    The aspect ratio is kept. The support of Pillow's bilinear filter grows with the reduction, so
    every pixel contributes (no aliasing).

    Args:
        pixels: uint8 `[h, w]`.
        size: Side of the square, in pixels.

    Returns:
        uint8 `[size, size]`.

    Raises:
        ValueError: The pixels are not two-dimensional uint8.
    """
    if pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be uint8 [h, w], not {pixels.dtype} {pixels.shape}")
    height, width = pixels.shape
    place = placement(height, width, size)
    image = Image.fromarray(pixels)
    fitted = image.resize((place.width, place.height), Image.Resampling.BILINEAR)
    square = np.zeros((size, size), np.uint8)
    square[place.top : place.top + place.height, place.left : place.left + place.width] = (
        np.asarray(fitted)
    )
    return square


def from_square(square: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a map of the square input, such as a heatmap, to the original scan.

    Args:
        square: float32 `[size, size]`.
        height: Height of the original, in pixels.
        width: Width of the original, in pixels.

    Returns:
        float32 `[height, width]`.
    """
    place = placement(height, width, square.shape[0])
    inside = square[place.top : place.top + place.height, place.left : place.left + place.width]
    image = Image.fromarray(np.ascontiguousarray(inside, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32)
