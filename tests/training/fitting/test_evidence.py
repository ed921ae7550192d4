"""The evidence map: masks are augmented with their scans, and training on them localizes."""

from __future__ import annotations

from pathlib import Path

import keras  # noqa: TID253
import numpy as np
import pytest

from tests.factories.blobs import blobs
from tumorml.datasets.pixels import Masks
from tumorml.errors import TumorMLError
from tumorml.explain.heatmaps import heatmaps
from tumorml.labels import Task
from tumorml.models.predictor import Predictor
from tumorml.recipes.find_weights import find_weights
from tumorml.recipes.load_recipe import load_recipe, recipe_from_text
from tumorml.recipes.sections import Augmentation, Evidence, Phase
from tumorml.training.checkpoints.checkpoint import EpochRecord
from tumorml.training.fitting.compile_phase import evidence_loss, with_evidence_output
from tumorml.training.fitting.fit import fit
from tumorml.training.fitting.input_pipeline import training_batches, validation_batches
from tumorml.training.fitting.labeled_images import LabeledImages


def masked_blobs(count: int, seed: int, known: float = 1.0) -> tuple[LabeledImages, np.ndarray]:
    """Return scans of 64 px, masks of some of their blobs, and all blobs, bool [count, 64, 64]."""
    data, inside = blobs(count, 64, seed)
    rows = np.where(data.labels == 1, np.cumsum(data.labels == 1) - 1, Masks.EMPTY)
    rows[(data.labels == 1) & (np.arange(count) / count >= known)] = Masks.UNKNOWN
    pixels = inside[data.labels == 1].astype(np.uint8) * 255
    return LabeledImages(data.images, data.labels, Masks(pixels, rows)), inside


def test_masks_get_the_geometry_of_their_scans_only() -> None:
    _, inside = masked_blobs(16, seed=1)
    pixels = inside.astype(np.uint8) * 255
    masks = Masks(pixels, np.arange(16))
    batches = training_batches(
        LabeledImages(pixels, np.arange(16) % 2, masks),
        2,
        batch_size=16,
        augmentation=Augmentation(flip=True, rotation_degrees=90, zoom=0.2, shift=0.1),
        class_balance="none",
        seed=1,
        epoch=1,
        evidence_side=8,
    )
    ((images, targets, weights),) = list(batches.as_numpy_iterator())
    fields = images.reshape(16, 8, 8, 8, 8).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(targets["evidence"][..., 0], fields, atol=1e-5)
    np.testing.assert_array_equal(weights["evidence"], 1)


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_unknown_mask_has_no_weight(mixup: float) -> None:
    data, _ = masked_blobs(16, seed=1, known=0.5)  # of the last eight, four are unknown
    assert data.masks is not None
    batches = training_batches(
        data,
        2,
        batch_size=16,
        augmentation=Augmentation(mixup=mixup),
        class_balance="none",
        seed=1,
        epoch=1,
        evidence_side=8,
    )
    ((_, targets, weights),) = list(batches.as_numpy_iterator())
    assert set(targets) == set(weights) == {"logits", "evidence"}
    weight = weights["evidence"]
    assert weight.mean() == pytest.approx(1.0, abs=0.25 if mixup else 1e-6)
    if mixup:
        assert len(set(weight.tolist())) > 4
        assert targets["evidence"].max() <= 1.0 and np.isfinite(targets["evidence"]).all()
    else:
        assert sorted(weight.tolist()) == pytest.approx([0.0] * 4 + [16 / 12] * 12)


def test_validation_masks_are_not_augmented() -> None:
    data, inside = masked_blobs(8, seed=1)
    ((_, targets, weights),) = list(
        validation_batches(data, 2, batch_size=8, evidence_side=8).as_numpy_iterator()
    )
    fields = inside.reshape(8, 8, 8, 8, 8).mean(axis=(2, 4))
    np.testing.assert_allclose(targets["evidence"][..., 0], fields, atol=1e-6)
    np.testing.assert_array_equal(weights["evidence"], 1)


def test_evidence_loss_is_least_for_the_mask_itself() -> None:
    mask = np.zeros((1, 4, 4, 1), np.float32)
    mask[0, 1:3, 1:3] = 1.0
    right, wrong, gray = (
        float(evidence_loss(mask, m)[0]) for m in (mask, 1 - mask, mask * 0 + 0.5)
    )
    assert right == pytest.approx(0, abs=1e-5)
    assert right < gray < wrong
    empty = np.zeros_like(mask)
    assert float(evidence_loss(empty, empty)[0]) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [
        ("baseline-cnn", 128, "baseline-cnn has no evidence map"),
        ("efficientnet-lite0", 150, "multiple of 32, not 150"),
    ],
)
def test_unsupported_evidence_map_is_refused(name: str, size: int, reason: str) -> None:
    recipe = load_recipe(name).with_fields(input_size=size, evidence=Evidence())
    with pytest.raises(TumorMLError, match=reason):
        recipe_from_text(recipe.text)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, list[EpochRecord]]:
    default = load_recipe("efficientnet-lite0")
    recipe = default.with_fields(
        input_size=64,
        evidence=Evidence(units=16),
        phases=(Phase(name="all", epochs=16, learning_rate=1e-3, warmup_epochs=1.0),),
    )
    records: list[EpochRecord] = []
    model = fit(
        recipe,
        Task.BINARY,
        masked_blobs(96, seed=1, known=0.5)[0],
        masked_blobs(32, seed=2)[0],
        checkpoint_dir=tmp_path_factory.mktemp("evidence"),
        seed=1,
        on_epoch=records.append,
        pretrained=find_weights(recipe),
    )
    return model, records


def test_map_trained_on_half_of_the_masks_finds_the_blobs(
    trained: tuple[keras.Model, list[EpochRecord]],
) -> None:
    data, inside = masked_blobs(32, seed=3)
    predictor = Predictor(trained[0], Task.BINARY, test_time_flip=True)
    maps = heatmaps(predictor, data.images[:], data.labels)
    assert maps.shape == (32, 64, 64) and maps.min() >= 0 and maps.max() <= 1
    with_blob = data.labels == 1
    assert maps[inside].mean() > 3 * maps[with_blob][~inside[with_blob]].mean()
    assert maps[with_blob].max() > 2 * maps[~with_blob].mean()


def test_best_epoch_counts_class_and_evidence_loss(
    trained: tuple[keras.Model, list[EpochRecord]],
) -> None:
    model, records = trained
    data, inside = masked_blobs(32, seed=2)
    best = min(records, key=lambda record: record.validation_loss)
    images = data.images[:].astype(np.float32)[..., None]
    both = with_evidence_output(model).predict(images, verbose=0)
    logits = both["logits"][:, 0]
    targets = np.where(data.labels == 1, 0.975, 0.025)  # smoothed by 0.05
    class_loss = np.mean(np.logaddexp(0, logits) - targets * logits)
    fields = inside.reshape(32, 16, 4, 16, 4).mean(axis=(2, 4), dtype=np.float32)[..., None]
    map_loss = np.mean(evidence_loss(fields, both["evidence"]))
    assert class_loss + map_loss == pytest.approx(best.validation_loss, rel=1e-3)


def test_network_with_a_map_gives_the_same_output_after_loading(
    trained: tuple[keras.Model, list[EpochRecord]], tmp_path: Path
) -> None:
    trained[0].save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", compile=False)
    images = masked_blobs(4, seed=4)[0].images[:].astype(np.float32)[..., None]
    np.testing.assert_allclose(
        again.predict(images, verbose=0), trained[0].predict(images, verbose=0), atol=1e-6
    )
