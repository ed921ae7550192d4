from __future__ import annotations

import numpy as np
import pytest

from tumorml.recipes.sections import Augmentation


def augmented(images: np.ndarray, augmentation: Augmentation) -> np.ndarray:
    import tensorflow as tf

    from tumorml.training.fitting.augmentation import augment, draw_transforms

    count, side = images.shape[:2]
    transforms = draw_transforms(augmentation, (count,), side, np.random.default_rng(1))
    chosen = tf.range(count, dtype=tf.int64)
    return np.asarray(augment(images, chosen, augmentation, transforms))


@pytest.fixture
def marked() -> np.ndarray:
    """64 black images of 33 px with one white pixel at row 16, column 26."""
    images = np.zeros((64, 33, 33), np.uint8)
    images[:, 16, 26] = 255
    return images


def brightest(images: np.ndarray) -> np.ndarray:
    """Row and column of the brightest pixel, int64 [n, 2]."""
    return np.stack(np.unravel_index(images.reshape(len(images), -1).argmax(1), (33, 33)), 1)


def test_no_augmentation_changes_nothing(marked: np.ndarray) -> None:
    np.testing.assert_array_equal(augmented(marked, Augmentation()), marked[..., None])


def test_flip_mirrors_about_half_of_the_scans_left_to_right(marked: np.ndarray) -> None:
    places = brightest(augmented(marked, Augmentation(flip=True)))
    assert {tuple(place) for place in places.tolist()} == {(16, 26), (16, 6)}
    assert 16 < np.sum(places[:, 1] == 6) < 48


def test_rotation_turns_about_the_center(marked: np.ndarray) -> None:
    places = brightest(augmented(marked, Augmentation(rotation_degrees=180))) - 16
    np.testing.assert_allclose(np.hypot(*places.T), 10, atol=1.0)
    angles = np.degrees(np.arctan2(*places.T))
    assert angles.min() < -120
    assert angles.max() > 120


def test_zoom_and_shift_stay_within_their_bounds(marked: np.ndarray) -> None:
    zoomed = brightest(augmented(marked, Augmentation(zoom=0.2)))
    assert set(zoomed[:, 0]) == {16}
    assert 23 <= zoomed[:, 1].min() < 26 < zoomed[:, 1].max() <= 28
    shifted = brightest(augmented(marked, Augmentation(shift=0.1)))
    assert 1 < np.abs(shifted - [16, 26]).max() <= 4


def test_shear_slants_columns_and_keeps_the_middle_row() -> None:
    column = np.zeros((64, 33, 33), np.uint8)
    column[:, 6:27, 16] = 255
    slanted = augmented(column, Augmentation(shear_degrees=30))[..., 0]
    assert (slanted[:, 16].argmax(axis=1) == 16).all()
    shifts = slanted[:, 6].argmax(axis=1) - 16
    np.testing.assert_array_equal(slanted[:, 26].argmax(axis=1) - 16, -shifts)
    assert -6 <= shifts.min() < -3  # 10 rows times tan(30 degrees)
    assert 3 < shifts.max() <= 6


def test_brightness_and_contrast_stay_in_range() -> None:
    images = np.full((64, 8, 8), 100, np.uint8)
    images[:, 0] = 250
    changed = augmented(images, Augmentation(brightness=0.1, contrast=0.2))
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert 5 < np.ptp(changed.mean(axis=(1, 2, 3))) <= 2 * 25.5


def test_scans_outside_the_share_are_only_flipped() -> None:
    images = np.random.default_rng(1).integers(0, 256, (400, 32, 32)).astype(np.uint8)
    augmentation = Augmentation(
        share=0.75, flip=True, rotation_degrees=20, zoom=0.1, brightness=0.1
    )
    changed = augmented(images, augmentation)[..., 0]
    is_identical = (changed == images).all(axis=(1, 2))
    is_mirrored = (changed == images[:, :, ::-1]).all(axis=(1, 2))
    assert 0.07 < is_identical.mean() < 0.18
    assert 0.07 < is_mirrored.mean() < 0.18
    assert 0.2 < (is_identical | is_mirrored).mean() < 0.3
