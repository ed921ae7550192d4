"""Overlays: a scan beside the same scan under its heatmap, as a small captioned picture."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from tumorml.datasets.resize import fit_to_square, from_square
from tumorml.explain.drawing import INK, color_map, font

_SIDE = 256
_MARGIN = 8
_BAR_WIDTH = 12
_BAR_LABEL_WIDTH = 24
_LINE_HEIGHT = 18
MAX_OPACITY = 0.65
"""Opacity of the colors where the heatmap is 1."""
_COLOR_MAP = "inferno"
_WRONG_INK = (176, 0, 32)
_PNG_COMPRESSION = 1
"""Level 1 is three times as fast as level 6, and the file is a ninth larger."""


def overlay_png(
    pixels: np.ndarray,
    heatmap: np.ndarray,
    *,
    label: str | None,
    prediction: str,
    probability: float,
    meaning: str,
) -> bytes:
    """Draw a scan, the scan under its heatmap, a color scale, and a caption.

    Args:
        pixels: uint8 `[h, w]`, the original scan.
        heatmap: float32 in 0..1, `[h, w]` for the scan, or `[S, S]` for its square network input.
        label: The true label, or None if it is not known.
        prediction: The predicted label.
        probability: Probability of the prediction, in 0..1.
        meaning: Meaning of warm places, one line of the caption.

    Returns:
        A PNG image, RGB, 580 x 308 pixels.
    """
    height, width = pixels.shape
    if heatmap.shape != pixels.shape:
        heatmap = from_square(heatmap, height, width)
    gray = fit_to_square(pixels, _SIDE)
    heat = fit_to_square(to_gray(heatmap), _SIDE)
    blended = blend(gray, heat, MAX_OPACITY)

    bar_left = 3 * _MARGIN + 2 * _SIDE
    canvas = Image.new(
        "RGB",
        (
            bar_left + _BAR_WIDTH + _BAR_LABEL_WIDTH + _MARGIN,
            _SIDE + 2 * _MARGIN + _LINE_HEIGHT * 2,
        ),
        "white",
    )
    canvas.paste(Image.fromarray(gray).convert("RGB"), (_MARGIN, _MARGIN))
    canvas.paste(Image.fromarray(blended), (2 * _MARGIN + _SIDE, _MARGIN))
    canvas.paste(_color_bar(), (bar_left, _MARGIN))

    draw = ImageDraw.Draw(canvas)
    scale_left = bar_left + _BAR_WIDTH + 4
    draw.text((scale_left, _MARGIN), "1", INK, font(), anchor="lt")
    draw.text((scale_left, _MARGIN + _SIDE), "0", INK, font(), anchor="lb")
    predicted = f"predicted {prediction} {probability:.2f}"
    wrong = label is not None and label != prediction
    caption = predicted if label is None else f"true {label} - {predicted}"
    text_top = _SIDE + _MARGIN + 6
    draw.text((_MARGIN, text_top), caption, _WRONG_INK if wrong else INK, font())
    draw.text((_MARGIN, text_top + _LINE_HEIGHT), meaning, INK, font())

    file = io.BytesIO()
    canvas.save(file, "PNG", compress_level=_PNG_COMPRESSION)
    return file.getvalue()


def without_caption(overlay: bytes) -> bytes:
    """Cut off an overlay's caption, for pages that show the same text beside it."""
    with Image.open(io.BytesIO(overlay)) as image:
        cut = image.crop((0, 0, image.width, _SIDE + 2 * _MARGIN))
    file = io.BytesIO()
    cut.save(file, "PNG", compress_level=_PNG_COMPRESSION)
    return file.getvalue()


def to_gray(heatmap: np.ndarray) -> np.ndarray:
    """Convert a map in 0..1 to uint8 of the same shape."""
    return np.asarray((np.clip(heatmap, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8))


def blend(pixels: np.ndarray, heat: np.ndarray, opacity: float) -> np.ndarray:
    """Blend a scan with its heatmap in colors; the opacity grows with the heat.

    The color map is matplotlib's inferno, which is perceptually uniform.

    Args:
        pixels: uint8 `[h, w]`, the scan.
        heat: uint8 `[h, w]`, the heatmap; 255 is the warmest.
        opacity: Opacity of the colors where the heat is 255, in 0..1.

    Returns:
        uint8 `[h, w, 3]`, RGB.
    """
    opacities = heat[..., None] / 255.0 * opacity
    blended = pixels[..., None] * (1.0 - opacities) + color_map(_COLOR_MAP)[heat] * opacities
    return np.asarray(blended.astype(np.uint8))


@cache
def _color_bar() -> Image.Image:
    levels = np.linspace(255, 0, _SIDE).round().astype(np.uint8)
    return Image.fromarray(np.repeat(color_map(_COLOR_MAP)[levels][:, None], _BAR_WIDTH, axis=1))
