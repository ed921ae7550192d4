"""Overlays: size, colors and caption."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tumorml.explain.overlay import overlay_png, without_caption


def picture(pixels: np.ndarray, heatmap: np.ndarray, label: str | None = "tumor") -> np.ndarray:
    png = overlay_png(
        pixels, heatmap, label=label, prediction="tumor", probability=0.93, meaning="warm"
    )
    assert len(png) < 200_000
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    return np.asarray(image)


@pytest.mark.parametrize("shape", [(100, 60), (60, 100), (512, 512), (1446, 1920)])
def test_overlay_size_does_not_depend_on_the_scan(shape: tuple[int, int]) -> None:
    pixels = np.full(shape, 90, np.uint8)
    for heatmap in (np.zeros(shape, np.float32), np.zeros((128, 128), np.float32)):
        assert picture(pixels, heatmap, None).shape == (308, 580, 3)


def test_color_is_where_the_heatmap_is_hot() -> None:
    heatmap = np.zeros((64, 64), np.float32)
    heatmap[40:56, 8:24] = 1.0
    image = picture(np.full((64, 64), 90, np.uint8), heatmap).astype(int)
    color = np.ptp(image, axis=2)
    left, right = color[8:264, 8:264], color[8:264, 272:528]
    assert left.max() == 0
    assert right[168:216, 40:88].min() > 40
    assert right[:128].max() == 0


def test_overlay_without_caption_keeps_its_pictures() -> None:
    pixels = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    with_caption = overlay_png(
        pixels,
        np.zeros((64, 64), np.float32),
        label="tumor",
        prediction="tumor",
        probability=0.9,
        meaning="warm",
    )
    cut = np.asarray(Image.open(io.BytesIO(without_caption(with_caption))))
    assert cut.shape == (272, 580, 3)
    assert (cut == np.asarray(Image.open(io.BytesIO(with_caption)))[:272]).all()


def test_wrong_prediction_has_a_red_caption() -> None:
    pixels, heatmap = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.float32)
    right, wrong = picture(pixels, heatmap, "tumor"), picture(pixels, heatmap, "no_tumor")
    assert np.ptp(right[266:288], axis=2).max() < 40
    assert np.ptp(wrong[266:288], axis=2).max() > 100
