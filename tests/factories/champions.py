"""Champions that were never trained on scans, stored and recorded like trained ones."""

from __future__ import annotations

import fcntl
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func

from tests.factories.rows import model_row, run_row
from tumorml.datasets.pixels import Masks, SplitPixels
from tumorml.datasets.resize import fit_to_square
from tumorml.labels import LABELS, Task
from tumorml.models.artifact import (
    ModelDescription,
    load_predictor,
    read_description,
    save_model,
)
from tumorml.models.calibration import Calibration
from tumorml.models.model_versions import put_model
from tumorml.models.predictor import Predictor
from tumorml.models.reference import MIN_VALIDATION_SCANS
from tumorml.objects import object_store
from tumorml.objects.keys import scan_key
from tumorml.recipes.find_weights import find_weights
from tumorml.recipes.load_recipe import load_recipe
from tumorml.recipes.networks.build_network import build_network
from tumorml.results.champions import champion_of
from tumorml.results.session import write_session
from tumorml.results.tables import Batch, Champion, Scan, Snapshot
from tumorml.scans.images.decode import encode_png, scan_id
from tumorml.settings import Settings
from tumorml.training.export_for_serving import export_for_serving

SIDE = 64
"""Input size of the network, in pixels."""
GOLDEN_SEED = 9
CALIBRATION = Calibration(temperature=0.5)
"""Not the identity: probabilities differ if it is not applied."""


@dataclass(frozen=True)
class BuiltModel:
    """The files of a model version.

    Attributes:
        folder: The folder of the files.
        files: Names of the files beside the Keras model and its description.
        description: The content of ``model.json``.
    """

    folder: Path
    files: list[str]
    description: ModelDescription

    @cached_property
    def predictor(self) -> Predictor:
        """The Keras network, loaded on first use, because that imports TensorFlow."""
        return load_predictor(self.folder)


def noise_scans(count: int, seed: int = 0) -> list[np.ndarray]:
    """Return noise images of several sizes, uint8 [h, w]."""
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, 256, (80 + 7 * (n % 3), 90), dtype=np.uint8) // (1 + n % 4)
        for n in range(count)
    ]


def build_model(folder: Path, *, seed: int, task: Task = Task.FOUR_CLASS) -> BuiltModel:
    """Write an untrained model version (ImageNet weights, random head) with its serving files."""
    recipe = load_recipe("efficientnet-lite0").with_fields(input_size=SIDE)
    labels = LABELS[task]
    train = _split(labels, 24, seed=1)
    validation = _split(labels, MIN_VALIDATION_SCANS, seed=2)
    network = build_network(recipe, len(labels), seed=seed, weights=find_weights(recipe))
    predictor = Predictor(network, task, CALIBRATION, test_time_flip=recipe.test_time_flip)
    files = export_for_serving(predictor, train, validation, folder)
    golden = noise_scans(1, seed=GOLDEN_SEED)[0]
    probabilities = predictor.predict(fit_to_square(golden, SIDE)[None])[0]
    description = save_model(
        predictor.model,
        folder,
        task=task,
        recipe=recipe,
        calibration=CALIBRATION,
        golden={scan_id(golden): [float(value) for value in probabilities]},
        files=files,
    )
    return BuiltModel(folder, files, description)


def shared_model(temporary: pytest.TempPathFactory, seed: int) -> BuiltModel:
    """Return a four-class model that all processes of this test run share; the first builds it.

    Do not change its files: copy the folder.
    """
    root = temporary.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder = root / f"model-{seed}"
    with (root / f"model-{seed}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = root / f"model-{seed}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)  # of a build that was interrupted
            unfinished.mkdir()
            build_model(unfinished, seed=seed)
            unfinished.rename(folder)
    description = read_description(folder)
    return BuiltModel(folder, list(description.files), description)


def make_champion(settings: Settings, model: BuiltModel) -> str:
    """Store and record a model version, make it the champion of its task, and return its id."""
    golden = noise_scans(1, seed=GOLDEN_SEED)[0]
    object_store(settings).write(scan_key(scan_id(golden)), encode_png(golden))
    stored = put_model(settings, model.folder, model.files)
    task = model.description.task
    with write_session(settings) as session:
        if session.get(Snapshot, "s") is None:
            session.add(Snapshot(id="s", task=task, counts={}, held_out={}, object_key="s"))
            session.flush()
        session.add(run_row(f"r-{stored.id}", task, "s", recipe="made up"))
        session.flush()
        session.add(
            model_row(
                stored.id,
                f"r-{stored.id}",
                task,
                labels=list(model.description.labels),
                input_size=SIDE,
                object_key=stored.object_key,
                sha256=stored.sha256,
                description_sha256=stored.description_sha256,
            )
        )
        session.flush()
    set_champion(settings, stored.id, task)
    return stored.id


def store_scans(settings: Settings, *scans: np.ndarray) -> list[str]:
    """Store and record scans without a label, as ingest does; return their ids."""
    ids = [scan_id(pixels) for pixels in scans]
    with write_session(settings) as session:
        if session.get(Batch, "b") is None:
            session.add(Batch(id="b", drop_name="b", fingerprint="", state="ingested"))
            session.flush()
        for name, pixels in zip(ids, scans, strict=True):
            object_store(settings).write(scan_key(name), encode_png(pixels))
            height, width = pixels.shape
            session.add(
                Scan(
                    id=name,
                    width=width,
                    height=height,
                    mean=1,
                    deviation=1,
                    entropy=1,
                    foreground_share=1,
                    object_key=scan_key(name),
                    batch_id="b",
                )
            )
    return ids


def set_champion(settings: Settings, model_version_id: str, task: Task) -> None:
    """Change the champion of a task, as a promotion does."""
    with write_session(settings) as session:
        serving = champion_of(session, task)
        if serving is not None:
            serving.until = func.now()
            session.flush()
        session.add(
            Champion(
                task=task,
                model_version_id=model_version_id,
                change="promotion",
                who="test",
                why="test",
            )
        )


def _split(labels: tuple[str, ...], count: int, seed: int) -> SplitPixels:
    images = np.stack([fit_to_square(one, SIDE) for one in noise_scans(count, seed)])
    names = [f"{seed}-{n:03d}" for n in range(count)]
    nothing = Masks(np.zeros((0, SIDE, SIDE), np.uint8), np.full(count, Masks.UNKNOWN))
    # An array has the methods of `CachedPixels` that are used here.
    return SplitPixels(names, names, np.arange(count) % len(labels), images, nothing)  # type: ignore[arg-type]
