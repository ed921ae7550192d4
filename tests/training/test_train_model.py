"""A network is trained on training scans only and calibrated on validation scans only."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tumorml.datasets.pixel_cache import read_scan
from tumorml.datasets.snapshots import SnapshotEntry, read_snapshot, take_snapshot
from tumorml.demo.drop import write_demo_drop
from tumorml.labels import LABELS, Task
from tumorml.models.calibration import calibrate
from tumorml.objects import object_store
from tumorml.recipes.load_recipe import load_recipe
from tumorml.recipes.networks.build_network import build_network
from tumorml.recipes.recipe import Recipe
from tumorml.scans.inbox.claim import claim_drops
from tumorml.scans.ingest.finish_batch import ingest_batch
from tumorml.scans.ingest.put_drop import put_drop
from tumorml.settings import Settings
from tumorml.training import train_model as module
from tumorml.training.fitting import fit as fit_module
from tumorml.training.fitting.labeled_images import LabeledImages

TASK = Task.FOUR_CLASS
RECIPE = load_recipe("baseline-cnn").with_fields(input_size=32)


@pytest.fixture
def entries(settings: Settings, tmp_path: Path) -> list[SnapshotEntry]:
    write_demo_drop(tmp_path / "drop", patients_per_label=16, slices_per_patient=1)
    put_drop(settings, tmp_path / "drop", "drop")
    for batch_id in claim_drops(settings):
        ingest_batch(settings, batch_id)
    return read_snapshot(settings, take_snapshot(settings, TASK))


def scans_of(settings: Settings, entries: list[SnapshotEntry], side: str) -> set[tuple[bytes, int]]:
    """Pixels and label of each scan, read without the cache."""
    store = object_store(settings)
    return {
        (read_scan(store, e.scan_id, 32).tobytes(), LABELS[TASK].index(e.label))
        for e in entries
        if e.split == side
    }


def read(data: LabeledImages) -> set[tuple[bytes, int]]:
    images = data.images[np.arange(len(data))]
    return {(image.tobytes(), int(label)) for image, label in zip(images, data.labels, strict=True)}


def train(
    settings: Settings,
    entries: list[SnapshotEntry],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Any]:
    """Train with a fake `fit`, and return the arguments of `fit` and `calibrate`."""
    given: dict[str, Any] = {}

    def fit(
        recipe: Recipe, task: Task, train: LabeledImages, validation: LabeledImages, **_: Any
    ) -> Any:
        given.update(train=read(train), validation=read(validation))
        return build_network(recipe, len(LABELS[task]), seed=1)

    def record_calibrate(logits: np.ndarray, labels: np.ndarray, *rest: Any, **options: Any) -> Any:
        given.update(logits=logits, labels=labels)
        return calibrate(logits, labels, *rest, **options)

    monkeypatch.setattr(fit_module, "fit", fit)
    monkeypatch.setattr(module, "calibrate", record_calibrate)
    given["trained"] = module.train_model(
        settings,
        RECIPE,
        TASK,
        entries,
        seed=1,
        min_sensitivity=0.0,
        checkpoints=folder,
        on_epoch=lambda record: None,
    )
    return given


def test_training_and_calibration_use_only_their_own_split(
    settings: Settings,
    entries: list[SnapshotEntry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = train(settings, entries, tmp_path / "run", monkeypatch)
    for side in ("train", "validation"):
        assert given[side] == scans_of(settings, entries, side)
    test = scans_of(settings, entries, "test")
    assert test and not test & (given["train"] | given["validation"])
    validation = sorted((e for e in entries if e.split == "validation"), key=lambda e: e.scan_id)
    images = [read_scan(object_store(settings), e.scan_id, 32) for e in validation]
    trained = given["trained"]
    np.testing.assert_allclose(given["logits"], trained.predictor.logits(np.stack(images)), 1e-5)
    assert [LABELS[TASK][label] for label in given["labels"]] == [e.label for e in validation]
    assert set(trained.golden) <= {e.scan_id for e in validation}


def test_label_without_validation_scans_is_logged(
    settings: Settings,
    entries: list[SnapshotEntry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lacking = [e for e in entries if (e.split, e.label) != ("validation", "glioma")]
    with caplog.at_level(logging.WARNING):
        train(settings, lacking, tmp_path / "run", monkeypatch)
    assert "no validation scan of glioma" in caplog.text
