"""Small JPEGs of scans for the audit page."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def small_jpeg(pixels: NDArray[np.uint8], side: int) -> bytes:
    """Encode pixels, uint8 [height, width], as a JPEG without metadata.

    Args:
        pixels: Gray levels.
        side: Maximum length of the longest side, in pixels.
    """
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
