"""Whether heatmaps beat pointing without looking."""

from __future__ import annotations

import pytest

from tumorml.reports.facts.heatmap_quality import unbeaten_baselines
from tumorml.results.tables import Evaluation

BOTH = ["_fixed_pixel", "_centred_blob"]


def numbers(**rows: tuple[float, float, float]) -> dict[tuple[str, str], Evaluation]:
    return {
        (metric, "all"): Evaluation(
            metric=metric, slice="all", value=value, low=low, high=high, scans=50
        )
        for metric, (value, low, high) in rows.items()
    }


MEASURED = {
    "pointing_game": (0.4, 0.32, 0.48),
    "pointing_game_fixed_pixel": (0.3, 0.2, 0.4),
    "pointing_game_centred_blob": (0.28, 0.2, 0.36),
}


@pytest.mark.parametrize(
    ("fixed_pixel", "centred_blob", "unbeaten"),
    [
        ((0.1, 0.02, 0.18), (0.12, 0.01, 0.23), []),
        ((0.1, -0.02, 0.22), (0.12, 0.01, 0.23), ["_fixed_pixel"]),
        ((0.1, 0.0, 0.2), (0.12, -0.01, 0.25), BOTH),
    ],
)
def test_a_baseline_is_beaten_where_the_whole_interval_of_the_gain_over_it_lies_above_0(
    fixed_pixel, centred_blob, unbeaten: list[str]
) -> None:
    gains = {
        "pointing_game_gain_fixed_pixel": fixed_pixel,
        "pointing_game_gain_centred_blob": centred_blob,
    }
    assert unbeaten_baselines(numbers(**MEASURED, **gains)) == unbeaten


@pytest.mark.parametrize(("low", "unbeaten"), [(0.32, []), (0.29, ["_fixed_pixel"]), (0.2, BOTH)])
def test_before_gains_were_recorded_the_own_interval_counted(
    low: float, unbeaten: list[str]
) -> None:
    assert (
        unbeaten_baselines(numbers(**{**MEASURED, "pointing_game": (0.4, low, 0.48)})) == unbeaten
    )


def test_what_was_not_measured_beats_nothing_and_is_not_beaten() -> None:
    assert unbeaten_baselines({}) is None
