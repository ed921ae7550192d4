"""Batches are determined by the seed and the epoch."""

from __future__ import annotations

import numpy as np
import pytest

from tests.factories.blobs import blobs
from tumorml.recipes.load_recipe import load_recipe
from tumorml.recipes.sections import Augmentation
from tumorml.training.fitting.input_pipeline import (
    balanced_order,
    balanced_weights,
    targets,
    training_batches,
)
from tumorml.training.fitting.labeled_images import LabeledImages

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


def test_batches_depend_only_on_seed_and_epoch() -> None:
    first = epoch_images(1, 1)
    np.testing.assert_array_equal(first, epoch_images(1, 1))
    assert not np.array_equal(first, epoch_images(1, 2))
    assert not np.array_equal(first, epoch_images(2, 1))


def test_epoch_has_every_scan_in_batches_of_one_size() -> None:
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
    assert seen == {scan.tobytes() for scan in DATA.images[:]}


def test_balanced_order_draws_classes_equally_often() -> None:
    labels = np.array([0] * 50 + [1] * 5 + [3] * 5, np.int64)
    order = balanced_order(labels, np.random.default_rng(1))
    assert len(order) == len(labels)
    assert np.bincount(labels[order]).tolist() == [20, 20, 0, 20]
    assert np.bincount(order, minlength=60)[50:].tolist() == [4] * 10
    assert len(set(order[labels[order] == 0])) == 20


def test_balanced_weights_favor_rare_classes_with_mean_one() -> None:
    labels = np.array([0, 0, 0, 2], np.int64)
    weights = balanced_weights(labels, 4)
    assert weights[2] == pytest.approx(3 * weights[0])
    assert weights[labels].mean() == pytest.approx(1.0)


def test_targets_are_one_column_or_one_hot() -> None:
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
def test_invalid_labeled_images_are_refused(images: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"must be|no scan"):
        LabeledImages(images, labels)


@pytest.mark.parametrize("class_count", [2, 4])
def test_blended_classes_have_equal_total_weight(class_count: int) -> None:
    labels = np.array([0] * 360 + [1] * 40, np.int64)
    batches = training_batches(
        LabeledImages(np.zeros((400, 32, 32), np.uint8), labels),
        class_count,
        batch_size=100,
        augmentation=Augmentation(mixup=1.0),
        class_balance="weights",
        seed=1,
        epoch=1,
    )
    weight_of_class = np.zeros(2)
    for _, target, weight in batches.as_numpy_iterator():
        second = target[:, 0] if class_count == 2 else target[:, 1]
        weight_of_class += [(weight * (1 - second)).sum(), (weight * second).sum()]
    assert weight_of_class[1] == pytest.approx(weight_of_class[0], rel=0.1)


def test_mixup_blends_scans_and_labels_by_the_same_share() -> None:
    labels = np.arange(64) % 4
    images = np.broadcast_to((labels * 60)[:, None, None], (64, 32, 32)).astype(np.uint8)
    found = training_batches(
        LabeledImages(images, labels),
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
