"""Localization metrics on maps with known values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from tumorml.evaluation.localization import (
    THRESHOLDS,
    Located,
    baseline_maps,
    best_cut,
    localization_metrics,
    locate,
)

MASKS = np.zeros((3, 16, 16), np.bool_)
MASKS[:, 4:8, 4:8] = True


def maps_of(*places: tuple[slice, slice]) -> np.ndarray:
    maps = np.zeros((len(places), 16, 16), np.float32)
    for number, place in enumerate(places):
        maps[number][place] = 0.5
    return maps


def test_map_on_beside_and_half_on_the_tumor() -> None:
    tumor, beside = (slice(4, 8), slice(4, 8)), (slice(10, 12), slice(10, 12))
    around = (slice(4, 8), slice(4, 12))
    found = locate(maps_of(tumor, beside, around), MASKS)
    np.testing.assert_allclose(found.pointing_game, [1, 0, 0.5])
    np.testing.assert_allclose(found.energy_inside, [1, 0, 0.5])
    np.testing.assert_allclose(found.iou, np.repeat([[1.0], [0.0], [0.5]], 19, axis=1))


def test_map_that_overlaps_by_a_corner() -> None:
    found = locate(maps_of((slice(6, 10), slice(6, 10))), MASKS[:1])
    np.testing.assert_allclose(found.iou, [[4 / 28] * 19])
    np.testing.assert_allclose(found.energy_inside, [1 / 4])


def test_map_of_zeros_scores_zero() -> None:
    found = locate(np.zeros((3, 16, 16), np.float32), MASKS)
    assert not found.pointing_game.any() and not found.energy_inside.any() and not found.iou.any()


def test_best_cut_has_the_highest_overlap() -> None:
    maps = maps_of(*[(slice(4, 8), slice(4, 8))] * 3)
    maps[:, :4] = 0.3
    cut = best_cut(locate(maps, MASKS))
    assert THRESHOLDS[cut] == pytest.approx(0.65)


def test_baselines_are_the_commonest_pixel_and_a_central_blob() -> None:
    tumor_share = np.zeros((16, 16), np.float32)
    tumor_share[5, 9] = 0.4
    baselines = baseline_maps(tumor_share)
    assert np.argwhere(baselines["fixed_pixel"]).tolist() == [[5, 9]]
    blob = baselines["centred_blob"]
    assert blob.argmax() in (7 * 16 + 7, 7 * 16 + 8, 8 * 16 + 7, 8 * 16 + 8)
    np.testing.assert_allclose(blob, blob[::-1, ::-1])


def test_intervals_come_from_groups_not_scans() -> None:
    rng = np.random.default_rng(1)
    group_values = rng.integers(0, 2, 40).astype(np.float64)
    hits = np.repeat(group_values, 10)
    located = Located(hits, hits, np.repeat(hits[:, None], 19, axis=1))

    def interval(groups: list[str]) -> tuple[float, float]:
        metrics = localization_metrics(located, {}, {"model": 0}, groups, resamples=2000)
        found = {metric.metric: metric for metric in metrics}["pointing_game"]
        assert found.value == pytest.approx(hits.mean()) and found.scans == 400
        assert found.low is not None and found.high is not None
        return found.low, found.high

    grouped = interval([f"g{number // 10}" for number in range(400)])
    alone = interval([f"g{number}" for number in range(400)])
    assert grouped[1] - grouped[0] > 2.5 * (alone[1] - alone[0])


def test_each_metric_uses_its_own_map_and_threshold() -> None:
    def located(first: float) -> Located:
        iou = np.tile(first + np.arange(19) / 1000, (4, 1))
        return Located(np.full(4, first + 0.1), np.full(4, first + 0.2), iou)

    metrics = localization_metrics(
        located(0.0),
        {"fixed_pixel": located(0.3), "centred_blob": located(0.6)},
        {"model": 2, "fixed_pixel": 5, "centred_blob": 9},
        list("aabb"),
        resamples=10,
    )
    values = {metric.metric: metric.value for metric in metrics}
    expected = {
        "pointing_game": 0.1,
        "energy_inside": 0.2,
        "iou": 0.002,
        "pointing_game_fixed_pixel": 0.4,
        "energy_inside_fixed_pixel": 0.5,
        "iou_fixed_pixel": 0.305,
        "pointing_game_centred_blob": 0.7,
        "energy_inside_centred_blob": 0.8,
        "iou_centred_blob": 0.609,
        "pointing_game_gain_fixed_pixel": -0.3,
        "energy_inside_gain_fixed_pixel": -0.3,
        "iou_gain_fixed_pixel": -0.303,
        "pointing_game_gain_centred_blob": -0.6,
        "energy_inside_gain_centred_blob": -0.6,
        "iou_gain_centred_blob": -0.607,
    }
    assert values == pytest.approx(expected)


def test_interval_of_single_groups_is_binomial() -> None:
    """If each scan is its own group, the resampled number of hits is binomial."""
    hits = (np.arange(400) < 100).astype(np.float64)
    located = Located(hits, hits, np.repeat(hits[:, None], 19, axis=1))
    groups = [f"g{number}" for number in range(400)]
    for metric in localization_metrics(located, {}, {"model": 0}, groups, resamples=20_000):
        expected = binom.ppf((0.025, 0.975), 400, 0.25) / 400
        assert (metric.low, metric.high) == pytest.approx(tuple(expected), abs=0.004)


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (-1.0, 1.0)])
def test_gain_interval_is_that_of_the_paired_difference(slope: float, offset: float) -> None:
    """The model hits the scans that the baseline hits (slope 1), or the others (slope -1)."""
    rng = np.random.default_rng(1)
    groups = [f"g{number // 4}" for number in range(120)]
    hits = np.repeat(rng.integers(0, 2, 30), 4).astype(np.float64)

    def located(of: np.ndarray) -> Located:
        return Located(of, of, np.repeat(of[:, None], 19, axis=1))

    metrics = localization_metrics(
        located(slope * hits + offset),
        {"fixed_pixel": located(hits)},
        {"model": 0, "fixed_pixel": 0},
        groups,
        resamples=500,
    )
    found = {metric.metric: metric for metric in metrics}
    pixel, gain = found["pointing_game_fixed_pixel"], found["pointing_game_gain_fixed_pixel"]
    ends = [(slope - 1) * (end or 0.0) + offset for end in (pixel.low, pixel.high)]
    assert [gain.low, gain.high] == pytest.approx(sorted(ends))
