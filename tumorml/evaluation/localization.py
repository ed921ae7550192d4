"""Localization metrics: how well heatmaps point at tumors, compared with two baselines.

The metrics use the test scans with a mask; intervals come from a bootstrap over groups.

pointing_game  Share of scans whose maximum is in the tumor (Zhang et al. 2018,
               doi:10.1007/s11263-017-1059-x).
energy_inside  Mean share of a map's sum that is in the tumor (Wang et al. 2020,
               arXiv:1910.01279).
iou            Mean intersection over union of tumor and map; the map is cut at the threshold with
               the highest mean on the validation masks.

Two baselines ignore the scan. Their metrics have a suffix: ``_fixed_pixel`` for the pixel that is
most often tumor in training and validation, and ``_centred_blob`` for a Gaussian in the middle.
The gain over a baseline (model minus baseline) is a metric of its own, for instance
``iou_gain_fixed_pixel``. It is computed on the same resamples, because both values depend on the
same patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tumorml.evaluation.bootstrap import GroupResamples
from tumorml.evaluation.metrics import Metric

THRESHOLDS = np.linspace(0.05, 0.95, 19)
"""Candidate thresholds for a map that is scaled to a maximum of 1."""

BASELINES = ("fixed_pixel", "centred_blob")
MEASURES = ("pointing_game", "energy_inside", "iou")


@dataclass(frozen=True, slots=True)
class Located:
    """Localization metrics of the maps of n scans.

    Attributes:
        pointing_game: float64 [n], 1 where the maximum is in the tumor. If several pixels have the
            maximum, the share of them that is in the tumor.
        energy_inside: float64 [n], share of the map's sum that is in the tumor.
        iou: float64 [n, thresholds], intersection over union for each of ``THRESHOLDS``.
    """

    pointing_game: NDArray[np.float64]
    energy_inside: NDArray[np.float64]
    iou: NDArray[np.float64]

    @staticmethod
    def joined(parts: Sequence[Located]) -> Located:
        """Concatenate parts in order."""
        return Located(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in MEASURES)
        )


def locate(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> Located:
    """Compare maps with tumor masks.

    Args:
        maps: float32 [n, S, S], not negative. All metrics of a map of zeros are 0.
        masks: bool [n, S, S], each with at least one pixel.
    """
    maximum = maps.max(axis=(1, 2), keepdims=True)
    peak = (maps == maximum) & (maximum > 0)
    total = maps.sum(axis=(1, 2), dtype=np.float64)
    inside = (maps * masks).sum(axis=(1, 2), dtype=np.float64)
    scaled = np.divide(maps, maximum, out=np.zeros_like(maps), where=maximum > 0)
    area = masks.sum(axis=(1, 2))
    overlap = []
    for threshold in THRESHOLDS:
        chosen = scaled >= threshold
        common = (chosen & masks).sum(axis=(1, 2))
        overlap.append(common / (chosen.sum(axis=(1, 2)) + area - common))
    return Located(
        pointing_game=_share((peak & masks).sum(axis=(1, 2)), peak.sum(axis=(1, 2))),
        energy_inside=_share(inside, total),
        iou=np.stack(overlap, axis=1),
    )


def baseline_maps(tumor_share: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Return the maps of the baselines by name, float32 [S, S] each.

    Args:
        tumor_share: float32 [S, S], share of training and validation scans in which each pixel is
            tumor.
    """
    side = len(tumor_share)
    fixed = np.zeros_like(tumor_share)
    fixed[np.unravel_index(tumor_share.argmax(), fixed.shape)] = 1.0
    squared_distance = (np.arange(side) - (side - 1) / 2) ** 2
    blob = np.exp(-(squared_distance[:, None] + squared_distance) / (2 * (side / 6) ** 2)).astype(
        np.float32
    )
    return {"fixed_pixel": fixed, "centred_blob": blob}


def localization_metrics(
    located: Located,
    baselines: dict[str, Located],
    cuts: dict[str, int],
    groups: Sequence[str],
    *,
    resamples: int,
    seed: int = 0,
) -> list[Metric]:
    """Compute the mean of each metric and of its gains over the test scans, with 95 % intervals.

    Args:
        located: Metrics of the model's maps of n scans.
        baselines: Metrics of the maps of ``BASELINES`` on the same scans, by name.
        cuts: Index of the threshold that is best on validation, by baseline and for ``model``.
        groups: n group ids.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.
    """
    columns: dict[str, NDArray[np.float64]] = {}
    for name, part in {"model": located, **baselines}.items():
        suffix = "" if name == "model" else f"_{name}"
        columns[f"pointing_game{suffix}"] = part.pointing_game
        columns[f"energy_inside{suffix}"] = part.energy_inside
        columns[f"iou{suffix}"] = part.iou[:, cuts[name]]
    for measure, name in product(MEASURES, baselines):
        columns[f"{measure}_gain_{name}"] = columns[measure] - columns[f"{measure}_{name}"]
    values = np.stack(list(columns.values()), axis=1)
    draws = GroupResamples(groups, resamples=resamples, seed=seed)
    sums = np.zeros((draws.count, values.shape[1]))
    np.add.at(sums, draws.member, values)
    sizes = np.bincount(draws.member, minlength=draws.count)
    means = np.concatenate([(w @ sums) / (w @ sizes)[:, None] for w in draws])
    low, high = np.quantile(means, (0.025, 0.975), axis=0)
    return [
        Metric(name, "all", float(value), float(below), float(above), len(values))
        for name, value, below, above in zip(columns, values.mean(axis=0), low, high, strict=True)
    ]


def best_cut(located: Located) -> int:
    """Return the index of the threshold with the highest mean intersection over union."""
    return int(located.iou.mean(axis=0).argmax())


def _share(part: NDArray[Any], total: NDArray[Any]) -> NDArray[np.float64]:
    """Return ``part / total``, or 0 where the total is 0: float64 [n]."""
    shares = np.zeros(len(part))
    np.divide(part, total, out=shares, where=np.asarray(total > 0))
    return shares
