"""How well a model version's heatmaps point at the tumours of test scans whose mask is known."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from tumorml.datasets.grouping.sides import SIDES
from tumorml.datasets.pixel_cache import CachedPixels, cached_pixels
from tumorml.datasets.snapshots import SnapshotEntry
from tumorml.evaluation.localisation import (
    Located,
    baseline_maps,
    best_cut,
    localisation_metrics,
    locate,
)
from tumorml.evaluation.metrics import Metric
from tumorml.explain.heatmaps import explain
from tumorml.models.predictor import Predictor
from tumorml.settings import Settings

logger = logging.getLogger(__name__)

BATCH = 64
_HALF = 127


def localise(
    settings: Settings, predictor: Predictor, entries: Sequence[SnapshotEntry], *, resamples: int
) -> list[Metric]:
    """The localisation metrics of the maps of what a predictor answers, beside their baselines.

    Args:
        settings: Where the scans are.
        predictor: Whose maps.
        entries: A snapshot. Where a map is cut is fitted on its validation scans, and the place
            that is most often tumour is that of its training and validation scans.
        resamples: Of the bootstrap over groups.

    Returns:
        Empty where there is no mask to measure on, or none to fit on.
    """
    masked = {side: [e for e in entries if e.split == side and e.masked] for side in SIDES}
    if not (masked["validation"] and masked["test"]):
        logger.info("localisation is not measured: validation or test has no scan with a mask")
        return []
    learnt = [e.scan_id for e in masked["train"] + masked["validation"]]
    size = predictor.input_size
    baselines = baseline_maps(_how_often(cached_pixels(settings, learnt, size, masks=True)))
    _, fitted = _meet(settings, predictor, masked["validation"], baselines)
    groups, found = _meet(settings, predictor, masked["test"], baselines)
    if not (groups and len(fitted["model"].iou)):
        logger.info("localisation is not measured: every mask is too small to be seen at %s", size)
        return []
    cuts = {who: best_cut(of) for who, of in fitted.items()}
    metrics = localisation_metrics(found.pop("model"), found, cuts, groups, resamples=resamples)
    for metric in metrics:
        logger.info("%s %.3f (%.3f to %.3f)", metric.metric, metric.value, metric.low, metric.high)
    return metrics


def _how_often(masks: CachedPixels) -> np.ndarray:
    """How often each place is tumour, float32 [size, size]."""
    total = np.zeros(masks.shape[1:], np.int64)
    for start in range(0, len(masks), BATCH):
        total += (masks[start : start + BATCH] > _HALF).sum(axis=0)
    return (total / len(masks)).astype(np.float32)


def _meet(
    settings: Settings,
    predictor: Predictor,
    masked: Sequence[SnapshotEntry],
    baselines: dict[str, np.ndarray],
) -> tuple[list[str], dict[str, Located]]:
    """The groups of scans with a mask, and how the model's and the baselines' maps meet it."""
    scan_ids, size = [entry.scan_id for entry in masked], predictor.input_size
    images = cached_pixels(settings, scan_ids, size)
    drawn = cached_pixels(settings, scan_ids, size, masks=True)
    groups: list[str] = []
    parts: dict[str, list[Located]] = {"model": [], **{name: [] for name in baselines}}
    for start in range(0, len(masked), BATCH):
        masks = drawn[start : start + BATCH] > _HALF
        seen = masks.any(axis=(1, 2))  # a very small tumour is lost at a small input size
        masks = masks[seen]
        maps = explain(predictor, images[start : start + BATCH][seen]).maps
        parts["model"].append(locate(maps, masks))
        for name, baseline in baselines.items():
            parts[name].append(locate(np.broadcast_to(baseline, masks.shape), masks))
        groups += [masked[start + place].group_id for place in np.flatnonzero(seen).tolist()]
    return groups, {name: Located.joined(part) for name, part in parts.items()}
