"""Localization metrics of a model version's heatmaps, on the test scans with a mask."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from tumorml.datasets.grouping.sides import SIDES
from tumorml.datasets.pixel_cache import CachedPixels, cached_pixels
from tumorml.datasets.snapshots import SnapshotEntry
from tumorml.evaluation.localization import (
    Located,
    baseline_maps,
    best_cut,
    localization_metrics,
    locate,
)
from tumorml.evaluation.metrics import Metric
from tumorml.explain.heatmaps import explain
from tumorml.models.predictor import Predictor
from tumorml.settings import Settings

logger = logging.getLogger(__name__)

BATCH = 64
_MASK_THRESHOLD = 127
"""Gray levels above this are tumor."""


def measure_localization(
    settings: Settings, predictor: Predictor, entries: Sequence[SnapshotEntry], *, resamples: int
) -> list[Metric]:
    """Compute the localization metrics of a predictor's heatmaps and of the baselines.

    Args:
        settings: Settings with the object store and the pixel cache.
        predictor: The predictor; each heatmap explains its predicted class.
        entries: Entries of a snapshot. The thresholds of the maps are fitted on its validation
            scans. The fixed pixel of a baseline comes from its training and validation scans.
        resamples: Number of resamples of the bootstrap over groups.

    Returns:
        The metrics; empty if the test scans or the validation scans have no visible mask.
    """
    masked = {side: [e for e in entries if e.split == side and e.masked] for side in SIDES}
    if not (masked["validation"] and masked["test"]):
        logger.info("localization is not measured: validation or test has no scan with a mask")
        return []
    fitting_ids = [e.scan_id for e in masked["train"] + masked["validation"]]
    size = predictor.input_size
    baselines = baseline_maps(_tumor_share(cached_pixels(settings, fitting_ids, size, masks=True)))
    _, validation = _locate_all(settings, predictor, masked["validation"], baselines)
    groups, test = _locate_all(settings, predictor, masked["test"], baselines)
    if not (groups and len(validation["model"].iou)):
        logger.info(
            "localization is not measured: all masks vanish at the input size of %s pixels", size
        )
        return []
    cuts = {name: best_cut(located) for name, located in validation.items()}
    metrics = localization_metrics(test.pop("model"), test, cuts, groups, resamples=resamples)
    for metric in metrics:
        logger.info("%s %.3f (%.3f to %.3f)", metric.metric, metric.value, metric.low, metric.high)
    return metrics


def _tumor_share(masks: CachedPixels) -> np.ndarray:
    """Return the share of masks in which each pixel is tumor, float32 [size, size]."""
    total = np.zeros(masks.shape[1:], np.int64)
    for start in range(0, len(masks), BATCH):
        total += (masks[start : start + BATCH] > _MASK_THRESHOLD).sum(axis=0)
    return (total / len(masks)).astype(np.float32)


def _locate_all(
    settings: Settings,
    predictor: Predictor,
    masked: Sequence[SnapshotEntry],
    baselines: dict[str, np.ndarray],
) -> tuple[list[str], dict[str, Located]]:
    """Compare the maps of the model and of the baselines with the masks.

    Scans whose mask vanishes at the input size are skipped.

    Returns:
        The group ids of the scans, and their localization metrics for ``model`` and each baseline.
    """
    scan_ids, size = [entry.scan_id for entry in masked], predictor.input_size
    images = cached_pixels(settings, scan_ids, size)
    mask_pixels = cached_pixels(settings, scan_ids, size, masks=True)
    groups: list[str] = []
    parts: dict[str, list[Located]] = {"model": [], **{name: [] for name in baselines}}
    for start in range(0, len(masked), BATCH):
        masks = mask_pixels[start : start + BATCH] > _MASK_THRESHOLD
        visible = masks.any(axis=(1, 2))
        masks = masks[visible]
        maps = explain(predictor, images[start : start + BATCH][visible]).maps
        parts["model"].append(locate(maps, masks))
        for name, baseline in baselines.items():
            parts[name].append(locate(np.broadcast_to(baseline, masks.shape), masks))
        groups += [masked[start + index].group_id for index in np.flatnonzero(visible).tolist()]
    return groups, {name: Located.joined(part) for name, part in parts.items()}
