"""Colors and fonts shared by overlays and feature map sheets."""

from __future__ import annotations

from functools import cache

import matplotlib
import numpy as np
from PIL import ImageFont

INK = (30, 30, 30)


@cache
def color_map(name: str) -> np.ndarray:
    """Return a color map of matplotlib: uint8 `[256, 3]`, RGB."""
    return np.asarray(matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3])


@cache
def font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Return the font of all captions."""
    return ImageFont.load_default(13)
