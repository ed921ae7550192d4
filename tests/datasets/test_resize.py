"""A scan is fitted into the square whole, and a map over the square finds its way back."""

from __future__ import annotations

import numpy as np
import pytest

from tumorml.datasets.resize import fit_to_square, from_square, placement


@pytest.mark.parametrize("shape", [(100, 50), (50, 100), (30, 30), (1446, 1920), (1, 300)])
def test_the_whole_scan_lies_centred_on_black_in_its_own_proportions(
    shape: tuple[int, int],
) -> None:
    square = fit_to_square(np.full(shape, 200, np.uint8), 64)
    assert (square.shape, square.dtype) == ((64, 64), np.uint8)
    place = placement(*shape, 64)
    assert max(place.height, place.width) == 64
    assert abs(place.height / place.width - shape[0] / shape[1]) < 0.04
    inside = np.zeros((64, 64), bool)
    inside[place.top : place.top + place.height, place.left : place.left + place.width] = True
    np.testing.assert_array_equal(square, np.where(inside, 200, 0))
    assert abs((64 - place.height) // 2 - place.top) <= 1


def test_fine_stripes_turn_grey_and_not_into_other_stripes() -> None:
    stripes = np.zeros((512, 512), np.uint8)
    stripes[:, ::2] = 255
    square = fit_to_square(stripes, 64)
    assert np.ptp(square) <= 12


def test_a_square_scan_of_the_right_size_stays_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    np.testing.assert_array_equal(fit_to_square(pixels, 64), pixels)


def test_a_map_over_the_square_lies_over_the_same_place_of_the_scan() -> None:
    pixels = np.zeros((300, 120), np.uint8)
    pixels[200:240, 30:60] = 255
    square = fit_to_square(pixels, 96).astype(np.float32) / 255
    back = from_square(square, 300, 120)
    assert (back.shape, back.dtype) == ((300, 120), np.float32)
    rows, columns = np.nonzero(back > 0.5)
    assert abs(rows.mean() - 219.5) < 2
    assert abs(columns.mean() - 44.5) < 2


def test_colour_is_refused() -> None:
    with pytest.raises(ValueError, match=r"uint8 \[h, w\]"):
        fit_to_square(np.zeros((8, 8, 3), np.uint8), 8)
