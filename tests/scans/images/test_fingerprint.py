"""Fingerprints: what of a picture they keep, and what they do not mind."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from tumorml.demo.drop import draw_patient
from tumorml.demo.template import load_anatomy
from tumorml.scans.images.fingerprint import (
    COARSE_SIDE,
    FRAMES,
    GRID_SIDE,
    KEY_LENGTH,
    QUANTUM,
    THUMBNAIL_SIDE,
    Fingerprint,
    fingerprint,
    oriented,
    symmetric_key,
    thumbnail,
)

ORIENTATIONS = range(8)

unit_grids = (
    npst.arrays(
        np.float64,
        (COARSE_SIDE, COARSE_SIDE),
        elements=st.floats(-1, 1, allow_subnormal=False),
    )
    .filter(lambda grid: np.linalg.norm(grid) > 1e-3)
    .map(lambda grid: grid / np.linalg.norm(grid))
)


@pytest.fixture(scope="module")
def slices() -> list[NDArray[np.uint8]]:
    anatomy = load_anatomy()
    return [
        made.image
        for label in ("glioma", "no_tumor")
        for index in range(6)
        for made in draw_patient(anatomy, label, index, seed=7, slices=1)
    ]


def seen(pixels: NDArray[np.uint8]) -> Fingerprint:
    found = fingerprint(pixels)
    assert found is not None
    return found


def distances(first: Fingerprint, second: Fingerprint) -> NDArray[np.float64]:
    """Of the keys, for each frame, in lengths of a grid."""
    apart = first.keys.astype(np.float64) - second.keys
    return np.linalg.norm(apart, axis=1) / QUANTUM


@given(unit_grids)
def test_a_key_is_the_same_for_all_eight_orientations_of_a_grid(grid: NDArray[np.float64]) -> None:
    key = symmetric_key(grid)
    for orientation in ORIENTATIONS:
        turned = symmetric_key(oriented(grid, orientation))
        np.testing.assert_allclose(turned, key, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_a_stored_key_is_the_same_number_for_number_for_all_eight_orientations(seed: int) -> None:
    grid = np.random.default_rng(seed).normal(size=(COARSE_SIDE, COARSE_SIDE))
    grid /= np.linalg.norm(grid)
    stored = {
        np.rint(symmetric_key(oriented(grid, orientation)) * QUANTUM).astype(np.int8).tobytes()
        for orientation in ORIENTATIONS
    }
    assert len(stored) == 1


@given(unit_grids)
def test_a_key_is_as_long_as_its_grid(grid: NDArray[np.float64]) -> None:
    key = symmetric_key(grid)
    assert key.shape == (KEY_LENGTH,)
    assert np.linalg.norm(key) == pytest.approx(1, abs=1e-9)


@given(unit_grids, unit_grids)
def test_two_keys_are_never_further_apart_than_their_grids_in_the_most_alike_orientation(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> None:
    keys = np.linalg.norm(symmetric_key(first) - symmetric_key(second))
    grids = min(np.linalg.norm(first - oriented(second, o)) for o in ORIENTATIONS)
    assert keys <= grids + 1e-9


@given(unit_grids, st.integers(0, 7), st.floats(0, 0.3), st.integers(0, 2**32 - 1))
def test_the_keys_of_a_grid_and_its_turned_and_blurred_copy_are_no_further_apart_than_they_are(
    grid: NDArray[np.float64], orientation: int, share: float, seed: int
) -> None:
    change = np.random.default_rng(seed).normal(size=grid.shape)
    other = grid + share * change / np.linalg.norm(change)
    keys = np.linalg.norm(symmetric_key(grid) - symmetric_key(oriented(other, orientation)))
    assert keys <= share + 1e-9


def test_grids_that_are_alike_in_no_orientation_have_keys_that_differ() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 200, COARSE_SIDE, COARSE_SIDE))
    apart = [
        np.linalg.norm(symmetric_key(a / np.linalg.norm(a)) - symmetric_key(b / np.linalg.norm(b)))
        for a, b in zip(first, second, strict=True)
    ]
    assert min(apart) > 0.3


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_square_scan_has_the_same_key_in_all_eight_orientations(
    slices: list[NDArray[np.uint8]], orientation: int
) -> None:
    for pixels in slices:
        apart = distances(seen(pixels), seen(np.asarray(oriented(pixels, orientation), np.uint8)))
        assert apart.max() < 0.02


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_an_oblong_scan_has_nearly_the_same_key_in_all_eight_orientations(
    slices: list[NDArray[np.uint8]], orientation: int
) -> None:
    for pixels in slices:
        oblong = cv2.copyMakeBorder(pixels[:-7], 0, 0, 0, 24, cv2.BORDER_CONSTANT, value=0)
        apart = distances(seen(oblong), seen(np.asarray(oriented(oblong, orientation), np.uint8)))
        assert apart.max() < 0.05


def test_the_grids_of_a_turned_scan_are_the_turned_grids(
    slices: list[NDArray[np.uint8]],
) -> None:
    for pixels in slices:
        upright = seen(pixels).grids.astype(np.float64)
        for orientation in ORIENTATIONS:
            turned = seen(np.asarray(oriented(pixels, orientation), np.uint8)).grids
            for frame in range(len(FRAMES)):
                apart = turned[frame] - oriented(upright[frame], orientation)
                assert np.linalg.norm(apart) / QUANTUM < 0.03


def test_scans_of_different_patients_have_keys_further_apart_than_the_orientations_of_one(
    slices: list[NDArray[np.uint8]],
) -> None:
    prints = [seen(pixels) for pixels in slices]
    for index, one in enumerate(prints):
        for other in prints[:index]:
            assert distances(one, other).max() > 0.1


def test_a_fingerprint_is_small_and_has_the_shapes_it_says(
    slices: list[NDArray[np.uint8]],
) -> None:
    found = seen(cv2.resize(slices[0], (300, 200)))
    assert (found.thumbnail.shape, found.thumbnail.dtype) == ((64, THUMBNAIL_SIDE), np.uint8)
    assert (found.keys.shape, found.keys.dtype) == ((len(FRAMES), KEY_LENGTH), np.int8)
    assert (found.grids.shape, found.grids.dtype) == (
        (len(FRAMES), GRID_SIDE, GRID_SIDE),
        np.int8,
    )
    lengths = np.linalg.norm(found.grids.astype(np.float64).reshape(len(FRAMES), -1), axis=1)
    np.testing.assert_allclose(lengths / QUANTUM, 1, atol=0.02)


def test_the_same_pixels_have_the_same_fingerprint(slices: list[NDArray[np.uint8]]) -> None:
    once, again = seen(slices[0]), seen(slices[0].copy())
    assert np.array_equal(once.thumbnail, again.thumbnail)
    assert np.array_equal(once.keys, again.keys)
    assert np.array_equal(once.grids, again.grids)


SIDES = [(512, 512), (224, 300), (96, 96), (16, 16), (1, 300), (300, 1), (1, 1), (20, 3000)]


@pytest.mark.parametrize("shape", SIDES)
@pytest.mark.parametrize("level", [0, 1, 127, 255])
def test_a_picture_of_one_grey_has_no_fingerprint(shape: tuple[int, int], level: int) -> None:
    assert fingerprint(np.full(shape, level, np.uint8)) is None


@pytest.mark.parametrize("shape", SIDES)
def test_a_picture_of_faint_noise_has_no_fingerprint(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(100, 108, shape).astype(np.uint8)
    assert fingerprint(noise) is None


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (1, 5000), (2, 300), (300, 3)])
def test_a_picture_too_narrow_to_show_a_head_has_no_fingerprint(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert fingerprint(noise) is None


@given(
    npst.arrays(
        np.uint8, st.tuples(st.integers(1, 70), st.integers(1, 70)), elements=st.integers(0, 255)
    )
)
def test_no_picture_breaks_it(pixels: NDArray[np.uint8]) -> None:
    found = fingerprint(pixels)
    if found is not None:
        assert np.isfinite(found.keys).all()
        assert max(found.thumbnail.shape) == THUMBNAIL_SIDE


@pytest.mark.parametrize("shape", [(512, 512), (300, 200), (32, 32), (2, 2)])
def test_pure_noise_does_not_break_it(shape: tuple[int, int]) -> None:
    for seed in range(5):
        fingerprint(np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8))


def test_a_head_without_a_border_has_a_fingerprint(slices: list[NDArray[np.uint8]]) -> None:
    for pixels in slices:
        rows, columns = (length // 3 for length in pixels.shape)
        seen(pixels[rows:-rows, columns:-columns])


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (3000, 20), (1920, 1446), (10, 10)])
def test_a_thumbnails_longest_side_is_96_pixels(shape: tuple[int, int]) -> None:
    small = thumbnail(np.zeros(shape, np.uint8))
    assert max(small.shape) == THUMBNAIL_SIDE
    assert min(small.shape) >= 8
