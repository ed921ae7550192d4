"""Batches depend on the seed and the epoch alone, and a variation moves pixels as it says."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.blobs import blobs
from tumorml.recipes.recipe import Augmentation, load_recipe
from tumorml.training.batches import (
    augment,
    balanced_order,
    balanced_weights,
    targets,
    training_batches,
)
from tumorml.training.labelled_images import LabelledImages

DATA = blobs(10, 32, seed=3)[0]


def epoch_images(seed: int, epoch: int) -> np.ndarray:
    batches = training_batches(
        DATA,
        2,
        batch_size=4,
        augmentation=load_recipe("efficientnet-lite0").augmentation,
        class_balance="weights",
        seed=seed,
        epoch=epoch,
    )
    return np.concatenate([images.numpy() for images, _, _ in batches])


def test_the_seed_and_the_epoch_alone_decide_what_is_seen() -> None:
    first = epoch_images(1, 1)
    np.testing.assert_array_equal(first, epoch_images(1, 1))
    assert not np.array_equal(first, epoch_images(1, 2))
    assert not np.array_equal(first, epoch_images(2, 1))


def test_every_scan_is_seen_and_all_batches_are_of_one_size() -> None:
    batches = training_batches(
        DATA,
        2,
        batch_size=4,
        augmentation=Augmentation(),
        class_balance="none",
        seed=1,
        epoch=1,
    )
    images = [batch.numpy()[..., 0].astype(np.uint8) for batch, _, _ in batches]
    assert [len(batch) for batch in images] == [4, 4, 4]
    seen = {scan.tobytes() for batch in images for scan in batch}
    assert seen == {scan.tobytes() for scan in DATA.images}


def test_balanced_sampling_draws_each_class_as_often_and_its_scans_in_turn() -> None:
    labels = np.array([0] * 50 + [1] * 5 + [3] * 5, np.int64)
    order = balanced_order(labels, np.random.default_rng(1))
    assert len(order) == len(labels)
    assert np.bincount(labels[order]).tolist() == [20, 20, 0, 20]
    assert np.bincount(order, minlength=60)[50:].tolist() == [4] * 10
    assert len(set(order[labels[order] == 0])) == 20


@pytest.fixture
def marked() -> np.ndarray:
    image = np.zeros((64, 33, 33, 1), np.float32)
    image[:, 16, 26] = 255.0
    return image


def brightest(images: np.ndarray) -> np.ndarray:
    """Row and column of the brightest pixel, int64 [n, 2]."""
    return np.stack(np.unravel_index(images.reshape(len(images), -1).argmax(1), (33, 33)), 1)


def test_no_augmentation_changes_nothing(marked: np.ndarray) -> None:
    np.testing.assert_array_equal(augment(marked, Augmentation(), [1, 2]), marked)


def test_a_flip_mirrors_about_half_of_the_scans_left_to_right(marked: np.ndarray) -> None:
    places = brightest(augment(marked, Augmentation(flip=True), [1, 2]).numpy())
    assert {tuple(place) for place in places.tolist()} == {(16, 26), (16, 6)}
    assert 16 < np.sum(places[:, 1] == 6) < 48


def test_a_rotation_turns_about_the_centre(marked: np.ndarray) -> None:
    places = brightest(augment(marked, Augmentation(rotation_degrees=180), [1, 2]).numpy()) - 16
    np.testing.assert_allclose(np.hypot(*places.T), 10, atol=1.0)
    angles = np.degrees(np.arctan2(*places.T))
    assert angles.min() < -120
    assert angles.max() > 120


def test_a_zoom_and_a_shift_stay_within_their_bounds(marked: np.ndarray) -> None:
    zoomed = brightest(augment(marked, Augmentation(zoom=0.2), [1, 2]).numpy())
    assert set(zoomed[:, 0]) == {16}
    assert 23 <= zoomed[:, 1].min() < 26 < zoomed[:, 1].max() <= 28
    shifted = brightest(augment(marked, Augmentation(shift=0.1), [1, 2]).numpy())
    assert 1 < np.abs(shifted - [16, 26]).max() <= 4


def test_a_shear_slants_columns_and_leaves_the_middle_row() -> None:
    column = np.zeros((64, 33, 33, 1), np.float32)
    column[:, 6:27, 16] = 255.0
    slanted = augment(column, Augmentation(shear_degrees=30), [1, 2]).numpy()[..., 0]
    assert (slanted[:, 16].argmax(axis=1) == 16).all()
    shifts = slanted[:, 6].argmax(axis=1) - 16
    np.testing.assert_array_equal(slanted[:, 26].argmax(axis=1) - 16, -shifts)
    assert -6 <= shifts.min() < -3 and 3 < shifts.max() <= 6  # 10 rows times tan(30 degrees)


def test_brightness_and_contrast_stay_in_range() -> None:
    images = np.full((64, 8, 8, 1), 100.0, np.float32)
    images[:, 0] = 250.0
    varied = augment(images, Augmentation(brightness=0.1, contrast=0.2), [1, 2]).numpy()
    assert varied.min() >= 0
    assert varied.max() <= 255
    assert 5 < np.ptp(varied.mean(axis=(1, 2, 3))) <= 2 * 25.5


def test_rare_classes_weigh_more_and_the_mean_scan_weighs_one() -> None:
    labels = np.array([0, 0, 0, 2], np.int64)
    weights = balanced_weights(labels, 4)
    assert weights[2] == pytest.approx(3 * weights[0])
    assert weights[labels].mean() == pytest.approx(1.0)


def test_targets_are_one_column_for_two_classes_and_one_hot_for_more() -> None:
    labels = np.array([1, 0], np.int64)
    assert targets(labels, 2).tolist() == [[1.0], [0.0]]
    assert targets(labels, 3).tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 4, 5), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 4, 4), np.float32), np.zeros(2, np.int64)),
        (np.zeros((2, 4, 4), np.uint8), np.zeros(3, np.int64)),
        (np.zeros((0, 4, 4), np.uint8), np.zeros(0, np.int64)),
    ],
    ids=["not square", "not uint8", "other length", "empty"],
)
def test_arrays_that_are_no_labelled_images_are_refused(
    images: np.ndarray, labels: np.ndarray
) -> None:
    with pytest.raises(ValueError, match=r"must be|no scan"):
        LabelledImages(images, labels)


def test_mixup_blends_pairs_of_scans_and_their_labels_alike() -> None:
    labels = np.arange(64) % 4
    images = np.broadcast_to((labels * 60)[:, None, None], (64, 32, 32)).astype(np.uint8)
    found = training_batches(
        LabelledImages(images, labels),
        4,
        batch_size=64,
        augmentation=Augmentation(mixup=0.4),
        class_balance="none",
        seed=1,
        epoch=1,
    )
    ((scans, answers, weights),) = list(found.as_numpy_iterator())
    np.testing.assert_allclose(scans[:, 0, 0, 0], answers @ (np.arange(4) * 60), atol=1e-3)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(weights, 1, atol=1e-6)
    assert (answers.max(axis=1) >= 0.5).all() and (answers.max(axis=1) < 0.99).any()
