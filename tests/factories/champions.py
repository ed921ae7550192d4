"""Champions that know ImageNet alone, stored and on record as a training leaves them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import func

from tests.factories.rows import model_row, run_row
from tumorml.datasets.pixels import Masks, SplitPixels
from tumorml.datasets.resize import fit_to_square
from tumorml.labels import LABELS, Task
from tumorml.models.artifact import ModelDescription, save_model
from tumorml.models.calibration import Calibration
from tumorml.models.model_versions import put_model
from tumorml.models.predictor import Predictor
from tumorml.models.reference import FEWEST
from tumorml.objects import object_store
from tumorml.objects.keys import scan_key
from tumorml.recipes.networks import build_network
from tumorml.recipes.find_weights import find_weights
from tumorml.recipes.recipe import load_recipe
from tumorml.results.champions import champion_of
from tumorml.results.session import write_session
from tumorml.results.tables import Batch, Champion, Scan, Snapshot
from tumorml.scans.images.decode import encode_png, scan_id
from tumorml.settings import Settings
from tumorml.training.export_for_serving import write_for_servers

SIDE = 64
CALIBRATION = Calibration(temperature=0.5)
"""Not the neutral one: whoever answers without it answers otherwise."""


@dataclass(frozen=True)
class Made:
    """A stored model version's folder, files and what it answers."""

    folder: Path
    files: list[str]
    predictor: Predictor
    description: ModelDescription


def pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    """Noise of several sizes, uint8 [h, w]."""
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, 256, (80 + 7 * (n % 3), 90), dtype=np.uint8) // (1 + n % 4)
        for n in range(count)
    ]


def make_model(folder: Path, *, seed: int, task: Task = Task.FOUR_CLASS) -> Made:
    """A model version that has learnt nothing of scans, with all that servers need."""
    asked = load_recipe("efficientnet-lite0").varied(input_size=SIDE)
    labels = LABELS[task]
    train, validation = (_split(labels, count, seed) for count, seed in ((24, 1), (FEWEST, 2)))
    network = build_network(asked, len(labels), seed=seed, weights=find_weights(asked))
    predictor = Predictor(network, task, CALIBRATION, test_time_flip=asked.test_time_flip)
    files = write_for_servers(predictor, train, validation, folder)
    golden = pictures(1, seed=9)[0]
    answered = predictor.predict(fit_to_square(golden, SIDE)[None])[0]
    description = save_model(
        predictor.model,
        folder,
        task=task,
        recipe=asked,
        calibration=CALIBRATION,
        golden={scan_id(golden): [float(value) for value in answered]},
        files=files,
    )
    return Made(folder, files, predictor, description)


def crown(settings: Settings, made: Made) -> str:
    """Put a model version into the store, and let it be the champion from now on; its id."""
    golden = pictures(1, seed=9)[0]
    object_store(settings).write(scan_key(scan_id(golden)), encode_png(golden))
    stored = put_model(settings, made.folder, made.files)
    task = made.predictor.task
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
                labels=list(made.description.labels),
                input_size=SIDE,
                object_key=stored.object_key,
                sha256=stored.sha256,
                description_sha256=stored.description_sha256,
            )
        )
        session.flush()
    enthrone(settings, stored.id, task)
    return stored.id


def take_in(settings: Settings, *scans: np.ndarray) -> list[str]:
    """Let scans lie in the stores as ingest leaves them, without a label; their ids."""
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


def enthrone(settings: Settings, model_version_id: str, task: Task) -> None:
    """Change the champion, as a promotion does."""
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
    images = np.stack([fit_to_square(one, SIDE) for one in pictures(count, seed)])
    names = [f"{seed}-{n:03d}" for n in range(count)]
    nothing = Masks(np.zeros((0, SIDE, SIDE), np.uint8), np.full(count, Masks.UNKNOWN))
    return SplitPixels(names, names, np.arange(count) % len(labels), images, nothing)
