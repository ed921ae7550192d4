"""How well a heatmap points at the tumour, beside what pointing without looking would reach.

Measured on the test scans whose mask is known, with intervals from a bootstrap over groups:

pointing_game  share of scans whose warmest place lies in the tumour (Zhang et al. 2018,
               doi:10.1007/s11263-017-1059-x)
energy_inside  mean share of a map's warmth that lies in the tumour (Wang et al. 2020,
               arXiv:1910.01279)
iou            mean overlap of tumour and map, cut where validation masks are met best

Each has two baselines that look at no scan, by the suffix of the metric's name: ``_fixed_pixel``,
the place that is most often tumour in training and validation, and ``_centred_blob``, a Gaussian in
the middle. A baseline is as uncertain as the model, about the same patients; so each measure has
rows of the difference, the model's less the baseline's, on the same resamples: ``_gain_`` and the
baseline.
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
"""Where a map, scaled so that its warmest place is 1, may be cut."""

BASELINES = ("fixed_pixel", "centred_blob")
MEASURES = ("pointing_game", "energy_inside", "iou")


@dataclass(frozen=True, slots=True)
class Located:
    """How maps meet the masks of n scans.

    Attributes:
        pointing_game: float64 [n], 1 where the warmest place lies in the tumour; where several are
            as warm, the share of them that does.
        energy_inside: float64 [n], the share of the map's sum that lies in the tumour.
        iou: float64 [n, thresholds], intersection over union with the map cut at each.
    """

    pointing_game: NDArray[np.float64]
    energy_inside: NDArray[np.float64]
    iou: NDArray[np.float64]

    @staticmethod
    def joined(parts: Sequence[Located]) -> Located:
        """The scans of all parts, in order."""
        return Located(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in MEASURES)
        )


def locate(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> Located:
    """How maps meet masks.

    Args:
        maps: float32 [n, S, S], not negative; a map that is cold everywhere points nowhere.
        masks: bool [n, S, S], none of them empty.
    """
    warmest = maps.max(axis=(1, 2), keepdims=True)
    peak = (maps == warmest) & (warmest > 0)
    total = maps.sum(axis=(1, 2), dtype=np.float64)
    inside = (maps * masks).sum(axis=(1, 2), dtype=np.float64)
    scaled = np.divide(maps, warmest, out=np.zeros_like(maps), where=warmest > 0)
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


def baseline_maps(how_often: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The maps of those who do not look, float32 [S, S] each.

    Args:
        how_often: float32 [S, S], the share of learnt scans in which each place is tumour.
    """
    side = len(how_often)
    fixed = np.zeros_like(how_often)
    fixed[np.unravel_index(how_often.argmax(), fixed.shape)] = 1.0
    away = (np.arange(side) - (side - 1) / 2) ** 2
    blob = np.exp(-(away[:, None] + away) / (2 * (side / 6) ** 2)).astype(np.float32)
    return {"fixed_pixel": fixed, "centred_blob": blob}


def localisation_metrics(
    located: Located,
    baselines: dict[str, Located],
    cuts: dict[str, int],
    groups: Sequence[str],
    *,
    resamples: int,
    seed: int = 0,
) -> list[Metric]:
    """The mean of each measure over the test scans, and of its gains, with their intervals.

    Args:
        located: the model's maps.
        baselines: of `BASELINES`, on the same scans.
        cuts: by baseline, and ``model``: the index of the threshold that is best on validation.
        groups: n group ids.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    columns: dict[str, NDArray[np.float64]] = {}
    for who, of in {"model": located, **baselines}.items():
        suffix = "" if who == "model" else f"_{who}"
        columns[f"pointing_game{suffix}"] = of.pointing_game
        columns[f"energy_inside{suffix}"] = of.energy_inside
        columns[f"iou{suffix}"] = of.iou[:, cuts[who]]
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
    """The index of the threshold of the highest mean overlap."""
    return int(located.iou.mean(axis=0).argmax())


def _share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    shares = np.zeros(len(part))
    np.divide(part, whole, out=shares, where=np.asarray(whole > 0))
    return shares
