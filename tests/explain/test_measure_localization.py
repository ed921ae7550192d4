"""Localization metrics of heatmaps, on stored scans and masks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.factories.blobs import blob_arrays
from tests.factories.brightness_network import brightness_meter
from tumorml.datasets.grouping.sides import SIDES
from tumorml.datasets.snapshots import SnapshotEntry
from tumorml.evaluation.bootstrap import GroupResamples
from tumorml.evaluation.localization import THRESHOLDS
from tumorml.explain.heatmaps import heatmaps
from tumorml.explain.measure_localization import BATCH, measure_localization
from tumorml.labels import LABELS, Task
from tumorml.models.predictor import Predictor
from tumorml.objects import object_store
from tumorml.objects.keys import mask_key, scan_key
from tumorml.settings import Settings


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """A predictor with a known heatmap."""
    return brightness_meter()


def write_scan(settings: Settings, scan: str, image: np.ndarray, mask: np.ndarray) -> None:
    store = object_store(settings)
    mask_pixels = 255 * mask.astype(np.uint8)
    for key, pixels in ((scan_key(scan), image), (mask_key(scan), mask_pixels)):
        _, png = cv2.imencode(".png", pixels)
        store.write(key, png.tobytes())


def store_blobs(
    settings: Settings, *, drawn: bool, sides: tuple[str, ...] = SIDES
) -> list[SnapshotEntry]:
    """Store scans with a blob and its mask (empty unless ``drawn``), and scans without a blob.

    ``sides`` are the sides of the split whose scans with a blob have a mask.
    """
    images, labels, inside = blob_arrays(60, 64, seed=4)
    entries = []
    for number, (image, label, mask) in enumerate(zip(images, labels, inside, strict=True)):
        scan, side = f"{number:064x}", SIDES[number % 3]
        masked = bool(label) and side in sides
        write_scan(settings, scan, image, mask & drawn)
        name = LABELS[Task.BINARY][label]
        entries.append(SnapshotEntry(scan, name, side, f"g{number // 2}", masked))
    return entries


@pytest.mark.parametrize("sides", [SIDES, ("validation", "test")])
def test_map_that_is_warm_on_the_blob_beats_the_baselines(
    tmp_path: Path, predictor: Predictor, sides: tuple[str, ...]
) -> None:
    settings = Settings(home=tmp_path)
    entries = store_blobs(settings, drawn=True, sides=sides)
    metrics = measure_localization(settings, predictor, entries, resamples=200)
    found = {metric.metric: metric for metric in metrics}
    masked = sum(entry.masked for entry in entries if entry.split == "test")
    assert found["pointing_game"].scans == masked > 0
    assert found["pointing_game"].value == 1.0
    for baseline in ("fixed_pixel", "centred_blob"):
        assert (found[f"pointing_game_{baseline}"].value or 0.0) < 0.9


@pytest.mark.parametrize(
    ("drawn", "sides"), [(False, SIDES), (True, ("train", "test")), (True, ("train", "validation"))]
)
def test_nothing_is_measured_without_validation_and_test_masks(
    tmp_path: Path, predictor: Predictor, *, drawn: bool, sides: tuple[str, ...]
) -> None:
    settings = Settings(home=tmp_path)
    entries = store_blobs(settings, drawn=drawn, sides=sides)
    assert measure_localization(settings, predictor, entries, resamples=200) == []


def store_squares(
    settings: Settings, side: str, groups: list[str], *, bright: np.ndarray, tumor: np.ndarray
) -> tuple[list[SnapshotEntry], np.ndarray, np.ndarray]:
    """Store scans of a bright 8 px square with a dimmer one on its right, and their masks.

    Args:
        settings: Settings with the object store.
        side: Side of the split.
        groups: n group ids.
        bright: int [n], first row of the squares; the bright one begins at column 40.
        tumor: int [n, 3], first row, first column and width of the masks, which are 8 px high.
    """
    images = np.zeros((len(groups), 64, 64), np.uint8)
    masks = np.zeros(images.shape, np.bool_)
    entries = []
    for number, (group, row, (top, left, width)) in enumerate(
        zip(groups, bright, tumor, strict=True)
    ):
        images[number, row : row + 8, 40:48] = 200
        images[number, row : row + 8, 48:56] = 100
        masks[number, top : top + 8, left : left + width] = True
        scan = f"{len(side):032x}{number:032x}"
        write_scan(settings, scan, images[number], masks[number])
        entries.append(SnapshotEntry(scan, "tumor", side, group, masked=True))
    return entries, images, masks


def overlaps(maps: np.ndarray, masks: np.ndarray, threshold: float) -> np.ndarray:
    warm = maps >= threshold
    return np.asarray((warm & masks).sum(axis=(1, 2)) / (warm | masks).sum(axis=(1, 2)))


def test_threshold_is_fitted_on_validation_masks(tmp_path: Path, predictor: Predictor) -> None:
    """The tumor is the brighter square on validation, and both squares on test."""
    settings = Settings(home=tmp_path)
    fitted, test = 8, BATCH + 16
    entries: list[SnapshotEntry] = []
    for side in ("train", "validation"):
        more, images, masks = store_squares(
            settings,
            side,
            ["g"] * fitted,
            bright=np.full(fitted, 8),
            tumor=np.tile((8, 40, 8), (fitted, 1)),
        )
        entries += more
    mean = [
        overlaps(heatmaps(predictor, images, np.ones(fitted)), masks, t).mean() for t in THRESHOLDS
    ]
    cut = THRESHOLDS[np.argmax(mean)]

    groups = [f"g{number % 6}" for number in range(test)]
    missed = np.array([number % 6 < 2 or number % 7 == 0 for number in range(test)])
    more, images, masks = store_squares(
        settings,
        "test",
        groups,
        bright=np.where(missed, 24, 48),
        tumor=np.tile((48, 40, 16), (test, 1)),
    )
    entries += more
    vanished = 20  # the tumor of this scan is too small for the input size
    tiny = np.zeros((640, 640), np.bool_)
    tiny[300, 300] = True
    write_scan(settings, more[vanished].scan_id, cv2.resize(images[vanished], (640, 640)), tiny)

    metrics = measure_localization(settings, predictor, entries, resamples=300)
    found = {metric.metric: metric for metric in metrics}
    seen = np.arange(test) != vanished
    assert {metric.scans for metric in metrics} == {test - 1}

    assert found["pointing_game_fixed_pixel"].value == 0.0  # it hits every training tumor
    maps = heatmaps(predictor, images[seen], np.ones(test - 1))
    on_test = [overlaps(maps, masks[seen], threshold).mean() for threshold in THRESHOLDS]
    assert found["iou"].value == pytest.approx(on_test[list(THRESHOLDS).index(cut)])
    assert max(on_test) > (found["iou"].value or 0.0) + 0.05

    hits = (~missed[seen]).astype(np.float64)
    assert found["pointing_game"].value == pytest.approx(hits.mean())
    draws = GroupResamples([groups[n] for n in np.flatnonzero(seen)], resamples=300, seed=0)
    of_scans = np.concatenate([weights[:, draws.member] for weights in draws])
    low, high = np.quantile(np.average(np.tile(hits, (300, 1)), 1, of_scans), (0.025, 0.975))
    assert (found["pointing_game"].low, found["pointing_game"].high) == pytest.approx((low, high))
