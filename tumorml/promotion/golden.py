"""Golden scans: the stored artifact must answer as the model did when it was trained."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from tumorml.datasets.pixel_cache import read_scan
from tumorml.errors import TumorMLError
from tumorml.models.model_versions import fetch_model
from tumorml.objects import object_store
from tumorml.promotion.contest import GoldenCheck
from tumorml.settings import Settings


def check_golden_scans(settings: Settings, model_version_id: str) -> GoldenCheck:
    """Ask a model version about its golden scans, one by one, as a server would.

    The artifact comes from the object store, past every cache, and is loaded by the code that
    serves.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            fetch_model(settings, model_version_id, Path(folder))
            return _ask(settings, Path(folder))
    except TumorMLError as error:
        return GoldenCheck(0, problem=str(error))


def _ask(settings: Settings, folder: Path) -> GoldenCheck:
    from tumorml.models.artifact import load_served, read_description

    golden = read_description(folder).golden
    if not golden:
        return GoldenCheck(0, problem="it was stored without golden scans")
    predictor, _ = load_served(folder)
    store = object_store(settings)
    try:
        images = [read_scan(store, scan, predictor.input_size) for scan in golden]
    except FileNotFoundError as error:
        raise TumorMLError(f"A golden scan is missing from the object store: {error}") from error
    predictor.predict(np.stack(images[:1]))  # the first answer also traces the network
    seconds, differences = [], []
    for image, expected in zip(images, golden.values(), strict=True):
        started = time.perf_counter()
        answered = predictor.predict(image[None])[0]
        seconds.append(time.perf_counter() - started)
        differences.append(float(np.abs(answered - np.array(expected)).max()))
    largest = float(np.max(differences))
    if not np.isfinite(largest):
        return GoldenCheck(len(images), problem="it answers with what is no number")
    return GoldenCheck(len(images), largest, 1000 * float(np.median(seconds)))
