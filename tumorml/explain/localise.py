"""How well a model version's heatmaps point at the tumours of test scans whose mask is known."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from tumorml.datasets.pixels import Masks, SplitPixels, split_pixels
from tumorml.datasets.snapshots import SnapshotEntry
from tumorml.evaluation.localisation import (
    Located,
    baseline_maps,
    best_cut,
    localisation_metrics,
    locate,
)
from tumorml.evaluation.metrics import Metric
from tumorml.explain.gradcam import explain
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
    train, validation, test = (
        split_pixels(settings, entries, side, labels=predictor.labels, size=predictor.input_size)
        for side in ("train", "validation", "test")
    )
    if not (_known(validation).any() and _known(test).any()):
        logger.info("localisation is not measured: validation or test has no scan with a mask")
        return []
    baselines = baseline_maps(_how_often(train.masks, validation.masks))
    _, fitted = _meet(predictor, validation, baselines)
    groups, found = _meet(predictor, test, baselines)
    cuts = {who: best_cut(of) for who, of in fitted.items()}
    metrics = localisation_metrics(found.pop("model"), found, cuts, groups, resamples=resamples)
    for metric in metrics:
        logger.info("%s %.3f (%.3f to %.3f)", metric.metric, metric.value, metric.low, metric.high)
    return metrics


def _known(split: SplitPixels) -> np.ndarray:
    return split.masks.rows >= 0


def _how_often(*parts: Masks) -> np.ndarray:
    """How often each place is tumour, float32 [size, size]."""
    total = np.zeros(parts[0].shape[1:], np.int64)
    for masks in parts:
        for start in range(0, len(masks.pixels), BATCH):
            total += (masks.pixels[start : start + BATCH] > _HALF).sum(axis=0)
    return (total / sum(len(masks.pixels) for masks in parts)).astype(np.float32)


def _meet(
    predictor: Predictor, split: SplitPixels, baselines: dict[str, np.ndarray]
) -> tuple[list[str], dict[str, Located]]:
    """The groups of the scans with a mask, and how the model's and the baselines' maps meet it."""
    groups: list[str] = []
    parts: dict[str, list[Located]] = {"model": [], **{name: [] for name in baselines}}
    scans = np.flatnonzero(_known(split))
    for start in range(0, len(scans), BATCH):
        chosen = scans[start : start + BATCH]
        masks = split.masks[chosen] > _HALF
        drawn = masks.any(axis=(1, 2))  # a very small tumour is lost at a small input size
        chosen, masks = chosen[drawn], masks[drawn]
        images = split.images[chosen]
        parts["model"].append(locate(explain(predictor, images).maps, masks))
        for name, baseline in baselines.items():
            same = np.broadcast_to(baseline, masks.shape)
            parts[name].append(locate(same, masks))
        groups += [split.group_ids[scan] for scan in chosen]
    return groups, {name: Located.joined(part) for name, part in parts.items()}
