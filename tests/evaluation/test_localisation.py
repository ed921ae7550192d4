"""Pointing, warmth and overlap, on maps whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from tumorml.evaluation.localisation import (
    THRESHOLDS,
    Located,
    baseline_maps,
    best_cut,
    localisation_metrics,
    locate,
)

MASKS = np.zeros((3, 16, 16), np.bool_)
MASKS[:, 4:8, 4:8] = True


def maps_of(*places: tuple[slice, slice]) -> np.ndarray:
    maps = np.zeros((len(places), 16, 16), np.float32)
    for number, place in enumerate(places):
        maps[number][place] = 0.5
    return maps


def test_a_map_of_the_tumour_itself_a_map_beside_it_and_one_that_covers_it_by_half() -> None:
    tumour, beside = (slice(4, 8), slice(4, 8)), (slice(10, 12), slice(10, 12))
    around = (slice(4, 8), slice(4, 12))
    found = locate(maps_of(tumour, beside, around), MASKS)
    np.testing.assert_allclose(found.pointing_game, [1, 0, 0.5])
    np.testing.assert_allclose(found.energy_inside, [1, 0, 0.5])
    np.testing.assert_allclose(found.iou, [[1] * 19, [0] * 19, [0.5] * 19])


def test_a_cold_map_points_nowhere() -> None:
    found = locate(np.zeros((3, 16, 16), np.float32), MASKS)
    assert not found.pointing_game.any() and not found.energy_inside.any() and not found.iou.any()


def test_the_cut_is_where_the_overlap_is_best() -> None:
    maps = maps_of(*[(slice(4, 8), slice(4, 8))] * 3)
    maps[:, :4] = 0.3
    cut = best_cut(locate(maps, MASKS))
    assert THRESHOLDS[cut] == pytest.approx(0.65)


def test_baselines_look_at_training_masks_only() -> None:
    often = np.zeros((16, 16), np.float32)
    often[5, 9] = 0.4
    baselines = baseline_maps(often)
    assert np.argwhere(baselines["fixed_pixel"]).tolist() == [[5, 9]]
    blob = baselines["centred_blob"]
    assert blob.argmax() in (7 * 16 + 7, 7 * 16 + 8, 8 * 16 + 7, 8 * 16 + 8)
    np.testing.assert_allclose(blob, blob[::-1, ::-1])


def test_intervals_are_of_groups_and_not_of_scans() -> None:
    rng = np.random.default_rng(1)
    of_group = rng.integers(0, 2, 40).astype(np.float64)
    hits = np.repeat(of_group, 10)
    located = Located(hits, hits, np.repeat(hits[:, None], 19, axis=1))

    def interval(groups: list[str]) -> tuple[float, float]:
        metrics = localisation_metrics(located, {}, {"model": 0}, groups, resamples=2000)
        found = {metric.metric: metric for metric in metrics}["pointing_game"]
        assert found.value == pytest.approx(hits.mean()) and found.scans == 400
        assert found.low is not None and found.high is not None
        return found.low, found.high

    grouped = interval([f"g{number // 10}" for number in range(400)])
    alone = interval([f"g{number}" for number in range(400)])
    assert grouped[1] - grouped[0] > 2.5 * (alone[1] - alone[0])
