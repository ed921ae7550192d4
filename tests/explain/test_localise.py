"""Where the heatmaps of a model version point, on stored scans and masks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.explain.brightness import brightness_meter
from tests.training.blobs import blobs
from tumorml.datasets.snapshots import SnapshotEntry
from tumorml.datasets.splits import SIDES
from tumorml.explain.localise import localise
from tumorml.labels import LABELS, Task
from tumorml.models.predictor import Predictor
from tumorml.objects import object_store
from tumorml.scans.names import mask_key, scan_key
from tumorml.settings import Settings


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return brightness_meter()


def stored(
    settings: Settings, *, drawn: bool, sides: tuple[str, ...] = SIDES
) -> list[SnapshotEntry]:
    """Scans with a blob, a mask of it on some sides of the split, and scans without either."""
    data, inside = blobs(60, 64, seed=4)
    store = object_store(settings)
    entries = []
    for number, (image, label, mask) in enumerate(
        zip(data.images, data.labels, inside, strict=True)
    ):
        scan, side = f"{number:064x}", SIDES[number % 3]
        masked = bool(label) and side in sides
        for key, pixels in (
            (scan_key(scan), image),
            (mask_key(scan), 255 * (mask & drawn).astype(np.uint8)),
        ):
            _, png = cv2.imencode(".png", pixels)
            store.write(key, png.tobytes())
        name = LABELS[Task.BINARY][label]
        entries.append(SnapshotEntry(scan, name, side, f"g{number // 2}", masked))
    return entries


@pytest.mark.parametrize("sides", [SIDES, ("validation", "test")])
def test_a_map_that_is_warm_on_the_blob_beats_those_that_look_at_nothing(
    tmp_path: Path, predictor: Predictor, sides: tuple[str, ...]
) -> None:
    settings = Settings(home=tmp_path)
    entries = stored(settings, drawn=True, sides=sides)
    metrics = localise(settings, predictor, entries, resamples=200)
    found = {metric.metric: metric for metric in metrics}
    masked = sum(entry.masked for entry in entries if entry.split == "test")
    assert found["pointing_game"].scans == masked > 0
    assert found["pointing_game"].value == 1.0
    for baseline in ("fixed_pixel", "centred_blob"):
        assert (found[f"pointing_game_{baseline}"].value or 0.0) < 0.9


@pytest.mark.parametrize(
    ("drawn", "sides"), [(False, SIDES), (True, ("train", "test")), (True, ("train", "validation"))]
)
def test_nothing_is_measured_without_a_mask_to_fit_on_and_one_to_measure_on(
    tmp_path: Path, predictor: Predictor, *, drawn: bool, sides: tuple[str, ...]
) -> None:
    settings = Settings(home=tmp_path)
    entries = stored(settings, drawn=drawn, sides=sides)
    assert localise(settings, predictor, entries, resamples=200) == []
