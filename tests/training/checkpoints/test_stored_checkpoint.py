from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.factories.blobs import blobs, tiny_recipe
from tumorml.errors import TumorMLError
from tumorml.labels import Task
from tumorml.objects import ObjectStore, object_store
from tumorml.settings import Settings
from tumorml.training.checkpoints.checkpoint import (
    Checkpoint,
    EpochRecord,
    TrainingState,
    finished_epochs,
    load_best,
    save_best,
    save_checkpoint,
)
from tumorml.training.checkpoints.stored_checkpoint import StoredCheckpoint
from tumorml.training.fitting.fit import fit

KEPT = "runs/r-1/checkpoint"


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return object_store(Settings(home=tmp_path / "home"))


def save(folder: Path, epochs: int, best: int) -> None:
    records = tuple(
        EpochRecord(epoch, 9, "all", 1.0, 0.5, 1.0, 0.5, 0.1, 1.0, 1)
        for epoch in range(1, epochs + 1)
    )
    save_best(folder, best, [np.full(3, best)])
    progress = TrainingState("print", records, best_epoch=best)
    save_checkpoint(folder, Checkpoint(progress, [np.full(3, epochs)], []))


def keys(store: ObjectStore) -> list[str]:
    return sorted(stored.key for stored in store.list("runs"))


def test_newest_epoch_is_downloaded_with_its_best_weights(
    store: ObjectStore, tmp_path: Path
) -> None:
    first = StoredCheckpoint(store, "r-1", tmp_path / "a")
    for epoch, best in ((1, 1), (2, 2), (3, 2)):
        save(tmp_path / "a", epoch, best)
        first.upload(epoch)
    assert keys(store) == [f"{KEPT}/000003.zip"]
    StoredCheckpoint(store, "r-1", tmp_path / "b").download()
    assert len(finished_epochs(tmp_path / "b")) == 3
    assert load_best(tmp_path / "b", 2)[0].tolist() == [2, 2, 2]
    first.remove()
    assert keys(store) == []


@pytest.mark.parametrize(("here", "there", "then"), [(2, 1, 2), (2, 2, 2), (1, 2, 2), (0, 0, 0)])
def test_local_checkpoint_is_kept_unless_the_store_is_newer(
    store: ObjectStore, tmp_path: Path, here: int, there: int, then: int
) -> None:
    for folder, epochs in ((tmp_path / "a", there), (tmp_path / "b", here)):
        if epochs:
            save(folder, epochs, epochs)
    if there:
        StoredCheckpoint(store, "r-1", tmp_path / "a").upload(there)
    StoredCheckpoint(store, "r-1", tmp_path / "b").download()
    assert len(finished_epochs(tmp_path / "b")) == then


def test_late_worker_does_not_overwrite_a_newer_epoch(store: ObjectStore, tmp_path: Path) -> None:
    late = StoredCheckpoint(store, "r-1", tmp_path / "late")
    save(tmp_path / "late", 2, 1)
    save(tmp_path / "on", 4, 3)
    StoredCheckpoint(store, "r-1", tmp_path / "on").upload(4)
    late.upload(2)
    StoredCheckpoint(store, "r-1", tmp_path / "new").download()
    assert len(finished_epochs(tmp_path / "new")) == 4


def test_damaged_stored_checkpoint_error_names_its_key(store: ObjectStore, tmp_path: Path) -> None:
    store.write(f"{KEPT}/000002.zip", b"PK not really")
    with pytest.raises(TumorMLError, match=r"000002\.zip cannot be read .* remove it"):
        StoredCheckpoint(store, "r-1", tmp_path / "a").download()


def test_training_resumes_in_another_folder_through_a_bucket(
    s3_settings: Settings, tmp_path: Path
) -> None:
    store = object_store(s3_settings)
    train, validation = blobs(48, 32, 1)[0], blobs(16, 32, 2)[0]

    def weights(folder: Path, on_epoch: Callable[[EpochRecord], None]) -> list[np.ndarray]:
        network = fit(
            tiny_recipe(),
            Task.BINARY,
            train,
            validation,
            checkpoint_dir=folder,
            seed=7,
            on_epoch=on_epoch,
        )
        return [np.asarray(weight) for weight in network.weights]

    def end_in_the_second_phase(record: EpochRecord) -> None:
        StoredCheckpoint(store, "r-1", tmp_path / "a").upload(record.epoch)
        if record.epoch == 3:
            raise KeyboardInterrupt

    uninterrupted = weights(tmp_path / "uninterrupted", lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        weights(tmp_path / "a", end_in_the_second_phase)
    StoredCheckpoint(store, "r-1", tmp_path / "b").download()
    later: list[int] = []
    resumed = weights(tmp_path / "b", lambda record: later.append(record.epoch))
    assert later == [4, 5]
    for ours, theirs in zip(resumed, uninterrupted, strict=True):
        np.testing.assert_array_equal(ours, theirs)
