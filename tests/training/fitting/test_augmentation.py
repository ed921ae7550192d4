"""A variation moves and lights pixels as it says."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf  # noqa: TID253

from tumorml.recipes.sections import Augmentation
from tumorml.training.fitting.augmentation import draw_variations, vary


def augment(images: np.ndarray, augmentation: Augmentation) -> np.ndarray:
    count, side = images.shape[:2]
    drawn = draw_variations(augmentation, (count,), side, np.random.default_rng(1))
    return np.asarray(vary(images, tf.range(count, dtype=tf.int64), augmentation, drawn))


@pytest.fixture
def marked() -> np.ndarray:
    image = np.zeros((64, 33, 33), np.uint8)
    image[:, 16, 26] = 255
    return image


def brightest(images: np.ndarray) -> np.ndarray:
    """Row and column of the brightest pixel, int64 [n, 2]."""
    return np.stack(np.unravel_index(images.reshape(len(images), -1).argmax(1), (33, 33)), 1)


def test_no_augmentation_changes_nothing(marked: np.ndarray) -> None:
    np.testing.assert_array_equal(augment(marked, Augmentation()), marked[..., None])


def test_a_flip_mirrors_about_half_of_the_scans_left_to_right(marked: np.ndarray) -> None:
    places = brightest(augment(marked, Augmentation(flip=True)))
    assert {tuple(place) for place in places.tolist()} == {(16, 26), (16, 6)}
    assert 16 < np.sum(places[:, 1] == 6) < 48


def test_a_rotation_turns_about_the_centre(marked: np.ndarray) -> None:
    places = brightest(augment(marked, Augmentation(rotation_degrees=180))) - 16
    np.testing.assert_allclose(np.hypot(*places.T), 10, atol=1.0)
    angles = np.degrees(np.arctan2(*places.T))
    assert angles.min() < -120
    assert angles.max() > 120


def test_a_zoom_and_a_shift_stay_within_their_bounds(marked: np.ndarray) -> None:
    zoomed = brightest(augment(marked, Augmentation(zoom=0.2)))
    assert set(zoomed[:, 0]) == {16}
    assert 23 <= zoomed[:, 1].min() < 26 < zoomed[:, 1].max() <= 28
    shifted = brightest(augment(marked, Augmentation(shift=0.1)))
    assert 1 < np.abs(shifted - [16, 26]).max() <= 4


def test_a_shear_slants_columns_and_leaves_the_middle_row() -> None:
    column = np.zeros((64, 33, 33), np.uint8)
    column[:, 6:27, 16] = 255
    slanted = augment(column, Augmentation(shear_degrees=30))[..., 0]
    assert (slanted[:, 16].argmax(axis=1) == 16).all()
    shifts = slanted[:, 6].argmax(axis=1) - 16
    np.testing.assert_array_equal(slanted[:, 26].argmax(axis=1) - 16, -shifts)
    assert -6 <= shifts.min() < -3 and 3 < shifts.max() <= 6  # 10 rows times tan(30 degrees)


def test_brightness_and_contrast_stay_in_range() -> None:
    images = np.full((64, 8, 8), 100, np.uint8)
    images[:, 0] = 250
    varied = augment(images, Augmentation(brightness=0.1, contrast=0.2))
    assert varied.min() >= 0
    assert varied.max() <= 255
    assert 5 < np.ptp(varied.mean(axis=(1, 2, 3))) <= 2 * 25.5


def test_the_scans_that_are_not_varied_are_as_sharp_as_ever() -> None:
    images = np.random.default_rng(1).integers(0, 256, (400, 32, 32)).astype(np.uint8)
    augmentation = Augmentation(
        share=0.75, flip=True, rotation_degrees=20, zoom=0.1, brightness=0.1
    )
    varied = augment(images, augmentation)[..., 0]
    as_it_is = (varied == images).all(axis=(1, 2))
    mirrored = (varied == images[:, :, ::-1]).all(axis=(1, 2))
    assert 0.07 < as_it_is.mean() < 0.18 and 0.07 < mirrored.mean() < 0.18
    assert 0.2 < (as_it_is | mirrored).mean() < 0.3
