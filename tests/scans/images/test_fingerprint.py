"""Fingerprints do not depend on orientation, and differ between patients."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
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
        drawn.image
        for label in ("glioma", "no_tumor")
        for index in range(6)
        for drawn in draw_patient(anatomy, label, index, seed=7, slices=1)
    ]


def fingerprint_of(pixels: NDArray[np.uint8]) -> Fingerprint:
    found = fingerprint(pixels)
    assert found is not None
    return found


def distances(first: Fingerprint, second: Fingerprint) -> NDArray[np.float64]:
    """The distances of the keys of each frame, in units of a grid's length."""
    apart = first.keys.astype(np.float64) - second.keys
    return np.asarray(np.linalg.norm(apart, axis=1) / QUANTUM, np.float64)


@settings(deadline=None)
@given(unit_grids)
def test_key_is_equal_in_all_orientations(grid: NDArray[np.float64]) -> None:
    key = symmetric_key(grid)
    for orientation in ORIENTATIONS:
        turned = symmetric_key(oriented(grid, orientation))
        np.testing.assert_allclose(turned, key, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_stored_key_is_identical_in_all_orientations(seed: int) -> None:
    grid = np.random.default_rng(seed).normal(size=(COARSE_SIDE, COARSE_SIDE))
    grid /= np.linalg.norm(grid)
    stored = {
        np.rint(symmetric_key(oriented(grid, orientation)) * QUANTUM).astype(np.int8).tobytes()
        for orientation in ORIENTATIONS
    }
    assert len(stored) == 1


@settings(deadline=None)
@given(unit_grids)
def test_key_has_the_norm_of_its_grid(grid: NDArray[np.float64]) -> None:
    key = symmetric_key(grid)
    assert key.shape == (KEY_LENGTH,)
    assert np.linalg.norm(key) == pytest.approx(1, abs=1e-9)


@settings(deadline=None)
@given(unit_grids, unit_grids)
def test_key_distance_is_at_most_the_best_grid_distance(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> None:
    keys = np.linalg.norm(symmetric_key(first) - symmetric_key(second))
    grids = min(np.linalg.norm(first - oriented(second, o)) for o in ORIENTATIONS)
    assert keys <= grids + 1e-9


@settings(deadline=None)
@given(unit_grids, st.integers(0, 7), st.floats(0, 0.3), st.integers(0, 2**32 - 1))
def test_key_distance_is_at_most_the_change_of_the_grid(
    grid: NDArray[np.float64], orientation: int, share: float, seed: int
) -> None:
    change = np.random.default_rng(seed).normal(size=grid.shape)
    other = grid + share * change / np.linalg.norm(change)
    keys = np.linalg.norm(symmetric_key(grid) - symmetric_key(oriented(other, orientation)))
    assert keys <= share + 1e-9


def test_keys_of_random_grids_differ() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 200, COARSE_SIDE, COARSE_SIDE))
    apart = [
        np.linalg.norm(symmetric_key(a / np.linalg.norm(a)) - symmetric_key(b / np.linalg.norm(b)))
        for a, b in zip(first, second, strict=True)
    ]
    assert min(apart) > 0.3


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_square_scan_has_equal_keys_in_all_orientations(
    slices: list[NDArray[np.uint8]], orientation: int
) -> None:
    for pixels in slices:
        apart = distances(
            fingerprint_of(pixels),
            fingerprint_of(np.asarray(oriented(pixels, orientation), np.uint8)),
        )
        assert apart.max() < 0.02


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_oblong_scan_has_similar_keys_in_all_orientations(
    slices: list[NDArray[np.uint8]], orientation: int
) -> None:
    for pixels in slices:
        oblong = cv2.copyMakeBorder(pixels[:-7], 0, 0, 0, 24, cv2.BORDER_CONSTANT, value=0)
        apart = distances(
            fingerprint_of(oblong),
            fingerprint_of(np.asarray(oriented(oblong, orientation), np.uint8)),
        )
        assert apart.max() < 0.05


def test_grids_of_a_turned_scan_are_the_turned_grids(
    slices: list[NDArray[np.uint8]],
) -> None:
    for pixels in slices:
        upright = fingerprint_of(pixels).grids.astype(np.float64)
        for orientation in ORIENTATIONS:
            turned = fingerprint_of(np.asarray(oriented(pixels, orientation), np.uint8)).grids
            for frame in range(len(FRAMES)):
                apart = turned[frame] - oriented(upright[frame], orientation)
                assert np.linalg.norm(apart) / QUANTUM < 0.03


def test_keys_of_different_patients_differ(
    slices: list[NDArray[np.uint8]],
) -> None:
    prints = [fingerprint_of(pixels) for pixels in slices]
    for index, one in enumerate(prints):
        for other in prints[:index]:
            assert distances(one, other).max() > 0.1


def test_fingerprint_has_documented_shapes_and_norms(
    slices: list[NDArray[np.uint8]],
) -> None:
    found = fingerprint_of(cv2.resize(slices[0], (300, 200)))
    assert (found.thumbnail.shape, str(found.thumbnail.dtype)) == ((64, THUMBNAIL_SIDE), "uint8")
    assert (found.keys.shape, str(found.keys.dtype)) == ((len(FRAMES), KEY_LENGTH), "int8")
    assert (found.grids.shape, str(found.grids.dtype)) == (
        (len(FRAMES), GRID_SIDE, GRID_SIDE),
        "int8",
    )
    lengths = np.linalg.norm(found.grids.astype(np.float64).reshape(len(FRAMES), -1), axis=1)
    np.testing.assert_allclose(lengths / QUANTUM, 1, atol=0.02)


def test_equal_pixels_have_equal_fingerprints(slices: list[NDArray[np.uint8]]) -> None:
    once, again = fingerprint_of(slices[0]), fingerprint_of(slices[0].copy())
    assert np.array_equal(once.thumbnail, again.thumbnail)
    assert np.array_equal(once.keys, again.keys)
    assert np.array_equal(once.grids, again.grids)


SIDES = [(512, 512), (224, 300), (96, 96), (16, 16), (1, 300), (300, 1), (1, 1), (20, 3000)]


@pytest.mark.parametrize("shape", SIDES)
@pytest.mark.parametrize("level", [0, 1, 127, 255])
def test_uniform_picture_has_no_fingerprint(shape: tuple[int, int], level: int) -> None:
    assert fingerprint(np.full(shape, level, np.uint8)) is None


@pytest.mark.parametrize("shape", SIDES)
def test_faint_noise_has_no_fingerprint(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(100, 108, shape).astype(np.uint8)
    assert fingerprint(noise) is None


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (1, 5000), (2, 300), (300, 3)])
def test_too_narrow_picture_has_no_fingerprint(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert fingerprint(noise) is None


@settings(deadline=None)
@given(
    npst.arrays(
        np.uint8, st.tuples(st.integers(1, 70), st.integers(1, 70)), elements=st.integers(0, 255)
    )
)
def test_any_picture_has_a_finite_fingerprint_or_none(pixels: NDArray[np.uint8]) -> None:
    found = fingerprint(pixels)
    if found is not None:
        assert np.isfinite(found.keys).all()
        assert max(found.thumbnail.shape) == THUMBNAIL_SIDE


@pytest.mark.parametrize("shape", [(512, 512), (300, 200), (32, 32), (2, 2)])
def test_noise_has_a_finite_fingerprint_or_none(shape: tuple[int, int]) -> None:
    for seed in range(5):
        found = fingerprint(np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8))
        assert found is None or np.abs(found.keys).max() > 0


def test_head_without_a_border_has_a_fingerprint(slices: list[NDArray[np.uint8]]) -> None:
    for pixels in slices:
        rows, columns = (length // 3 for length in pixels.shape)
        cropped = fingerprint_of(pixels[rows:-rows, columns:-columns])
        assert max(cropped.thumbnail.shape) == THUMBNAIL_SIDE


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (3000, 20), (1920, 1446), (10, 10)])
def test_longest_side_of_a_thumbnail_is_96_pixels(shape: tuple[int, int]) -> None:
    small = thumbnail(np.zeros(shape, np.uint8))
    assert max(small.shape) == THUMBNAIL_SIDE
    assert min(small.shape) >= 8
