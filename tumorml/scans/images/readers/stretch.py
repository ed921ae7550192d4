"""Map gray levels of more than 8 bits to uint8."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BLOCK_PIXELS = 1_000_000


def stretch(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Map [minimum, maximum] of the values linearly to [0, 255]; a constant image becomes 0.

    Args:
        values: Integers or floats [height, width].

    Returns:
        uint8 [height, width].

    Raises:
        ValueError: A value is NaN or infinite, or the range of the values exceeds float64.
    """
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(high - low):  # NaN pixels make either of them NaN
        raise ValueError("it has pixels that are not numbers")
    stretched = np.zeros(values.shape, np.uint8)
    if high > low:
        # In blocks of rows, because a large scan in float64 takes many times its file's size.
        rows = max(1, _BLOCK_PIXELS // values.shape[1])
        for start in range(0, len(values), rows):
            block = slice(start, start + rows)
            offsets = values[block].astype(np.float64) - low
            stretched[block] = np.rint(offsets * (255.0 / (high - low)))
    return stretched
