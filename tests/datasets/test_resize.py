from __future__ import annotations

import numpy as np
import pytest

from tumorml.datasets.resize import fit_to_square, from_square, placement


@pytest.mark.parametrize("shape", [(100, 50), (50, 100), (30, 30), (1446, 1920), (1, 300)])
def test_scan_is_centered_on_black_with_its_aspect_ratio(
    shape: tuple[int, int],
) -> None:
    square = fit_to_square(np.full(shape, 200, np.uint8), 64)
    assert square.shape == (64, 64) and square.dtype == np.uint8
    place = placement(*shape, 64)
    assert max(place.height, place.width) == 64
    assert abs(place.height / place.width - shape[0] / shape[1]) < 0.04
    inside = np.zeros((64, 64), bool)
    inside[place.top : place.top + place.height, place.left : place.left + place.width] = True
    np.testing.assert_array_equal(square, np.where(inside, 200, 0))
    assert abs((64 - place.height) // 2 - place.top) <= 1


def test_fine_stripes_become_gray_without_aliasing() -> None:
    stripes = np.zeros((512, 512), np.uint8)
    stripes[:, ::2] = 255
    square = fit_to_square(stripes, 64)
    assert np.ptp(square) <= 12


def test_scan_of_the_input_size_is_unchanged() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    np.testing.assert_array_equal(fit_to_square(pixels, 64), pixels)


def test_map_of_the_square_returns_to_its_place_in_the_scan() -> None:
    pixels = np.zeros((300, 120), np.uint8)
    pixels[200:240, 30:60] = 255
    square = fit_to_square(pixels, 96).astype(np.float32) / 255
    back = from_square(square, 300, 120)
    assert back.shape == (300, 120) and back.dtype == np.float32
    rows, columns = np.nonzero(back > 0.5)
    assert abs(rows.mean() - 219.5) < 2
    assert abs(columns.mean() - 44.5) < 2


def test_color_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"uint8 \[h, w\]"):
        fit_to_square(np.zeros((8, 8, 3), np.uint8), 8)
