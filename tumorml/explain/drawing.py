"""What the small pictures for people have in common."""

from __future__ import annotations

from functools import cache

import matplotlib
import numpy as np
from PIL import ImageFont

INK = (30, 30, 30)


@cache
def colours(name: str) -> np.ndarray:
    """A colour map of matplotlib's: uint8 `[256, 3]`."""
    return np.asarray(matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3])


@cache
def font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """That of all captions."""
    return ImageFont.load_default(13)
