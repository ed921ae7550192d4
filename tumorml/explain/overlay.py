"""A heatmap over its scan, as a small picture for people."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from tumorml.datasets.resize import fit_to_square, from_square
from tumorml.explain.drawing import INK, colours, font

_SIDE = 256
_MARGIN = 8
_BAR_WIDTH = 12
_BAR_LABEL_WIDTH = 24
_LINE_HEIGHT = 18
MOST_OPAQUE = 0.65
"""Of the scan, where a map is warmest."""
_COLOURS = "inferno"
_WRONG_INK = (176, 0, 32)
_PNG_COMPRESSION = 1
"""Three times as fast as 6, and a ninth larger."""


def overlay_png(
    pixels: np.ndarray,
    heatmap: np.ndarray,
    *,
    label: str | None,
    prediction: str,
    probability: float,
    meaning: str,
) -> bytes:
    """The scan, the scan under its heatmap, a colour scale, and what was true and predicted.

    Args:
        pixels: uint8 `[h, w]`: the original scan.
        heatmap: float32 in 0..1, `[h, w]` over the scan, or `[S, S]` over its square input.
        label: the true label, or None when it is not known.
        prediction: the predicted label.
        probability: of the prediction, in 0..1.
        meaning: what a warm place is.

    Returns:
        A PNG, RGB, 580 x 308 pixels.
    """
    height, width = pixels.shape
    if heatmap.shape != pixels.shape:
        heatmap = from_square(heatmap, height, width)
    grey = fit_to_square(pixels, _SIDE)
    heat = fit_to_square(to_grey(heatmap), _SIDE)
    blended = blend(grey, heat, MOST_OPAQUE)

    bar_left = 3 * _MARGIN + 2 * _SIDE
    canvas = Image.new(
        "RGB",
        (
            bar_left + _BAR_WIDTH + _BAR_LABEL_WIDTH + _MARGIN,
            _SIDE + 2 * _MARGIN + _LINE_HEIGHT * 2,
        ),
        "white",
    )
    canvas.paste(Image.fromarray(grey).convert("RGB"), (_MARGIN, _MARGIN))
    canvas.paste(Image.fromarray(blended), (2 * _MARGIN + _SIDE, _MARGIN))
    canvas.paste(_colour_bar(), (bar_left, _MARGIN))

    draw = ImageDraw.Draw(canvas)
    scale_left = bar_left + _BAR_WIDTH + 4
    draw.text((scale_left, _MARGIN), "1", INK, font(), anchor="lt")
    draw.text((scale_left, _MARGIN + _SIDE), "0", INK, font(), anchor="lb")
    verdict = f"predicted {prediction} {probability:.2f}"
    wrong = label is not None and label != prediction
    caption = verdict if label is None else f"true {label} - {verdict}"
    text_top = _SIDE + _MARGIN + 6
    draw.text((_MARGIN, text_top), caption, _WRONG_INK if wrong else INK, font())
    draw.text((_MARGIN, text_top + _LINE_HEIGHT), meaning, INK, font())

    file = io.BytesIO()
    canvas.save(file, "PNG", compress_level=_PNG_COMPRESSION)
    return file.getvalue()


def without_words(overlay: bytes) -> bytes:
    """An overlay without the lines under its pictures, for where they are told beside it."""
    with Image.open(io.BytesIO(overlay)) as image:
        cut = image.crop((0, 0, image.width, _SIDE + 2 * _MARGIN))
    file = io.BytesIO()
    cut.save(file, "PNG", compress_level=_PNG_COMPRESSION)
    return file.getvalue()


def to_grey(heatmap: np.ndarray) -> np.ndarray:
    """A map in 0..1 as uint8 of the same shape."""
    return np.asarray((np.clip(heatmap, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8))


def blend(pixels: np.ndarray, heat: np.ndarray, opacity: float) -> np.ndarray:
    """A scan under its map in colours; the colder a place, the more of the scan shows through.

    The colour map is matplotlib's inferno, which is perceptually uniform.

    Args:
        pixels: uint8 `[h, w]`.
        heat: uint8 `[h, w]`, 255 where it is warmest.
        opacity: of the colours where it is warmest, in 0..1.

    Returns:
        uint8 `[h, w, 3]`.
    """
    opaque = heat[..., None] / 255.0 * opacity
    blended = pixels[..., None] * (1.0 - opaque) + colours(_COLOURS)[heat] * opaque
    return np.asarray(blended.astype(np.uint8))


@cache
def _colour_bar() -> Image.Image:
    levels = np.linspace(255, 0, _SIDE).round().astype(np.uint8)
    return Image.fromarray(np.repeat(colours(_COLOURS)[levels][:, None], _BAR_WIDTH, axis=1))
