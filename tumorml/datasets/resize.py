"""How every scan becomes a network's square input, and the way back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

PREPROCESSING = "fit-to-square, bilinear"
"""What `fit_to_square` does; a change of it changes what a model is asked, and its name."""


class Placement(NamedTuple):
    """Where in a square a scan lies, in pixels of the square."""

    top: int
    left: int
    height: int
    width: int


def placement(height: int, width: int, size: int) -> Placement:
    """Where `fit_to_square` puts a scan of that height and width (pixels) in a square of `size`."""
    scale = size / max(height, width)
    fitted_height = min(size, max(1, round(height * scale)))
    fitted_width = min(size, max(1, round(width * scale)))
    return Placement(
        (size - fitted_height) // 2, (size - fitted_width) // 2, fitted_height, fitted_width
    )


def fit_to_square(pixels: np.ndarray, size: int) -> np.ndarray:
    """Scale a scan until its longer side is `size`, and centre it on black.

    The aspect is kept. Scaling is Pillow's bilinear filter, whose support widens with the
    reduction, so that no line of pixels is skipped.

    Args:
        pixels: uint8 `[h, w]`.
        size: side of the square, in pixels.

    Returns:
        uint8 `[size, size]`.

    Raises:
        ValueError: the pixels are not uint8 of two dimensions.
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
    """Lay a map over the square input, such as a heatmap, back over the original scan.

    Args:
        square: float32 `[size, size]`.
        height: of the original, in pixels.
        width: of the original, in pixels.

    Returns:
        float32 `[height, width]`.
    """
    place = placement(height, width, square.shape[0])
    inside = square[place.top : place.top + place.height, place.left : place.left + place.width]
    image = Image.fromarray(np.ascontiguousarray(inside, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32)
