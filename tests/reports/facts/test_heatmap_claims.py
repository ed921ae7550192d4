"""The statement about how well heatmaps locate tumors."""

from __future__ import annotations

import pytest

from tests.factories.answers import random_answers
from tests.factories.reports import CHALLENGER, CHAMPION, judged_run
from tumorml.reports.facts.heatmap_claims import load_heatmap_claim, unbeaten_baselines
from tumorml.results.tables import Evaluation
from tumorml.settings import Settings

Interval = tuple[float, float, float]
BOTH = ["_fixed_pixel", "_centred_blob"]
MEASURED: dict[str, Interval] = {
    "pointing_game": (0.4, 0.32, 0.48),
    "pointing_game_fixed_pixel": (0.3, 0.2, 0.4),
    "pointing_game_centred_blob": (0.28, 0.2, 0.36),
}


def numbers(rows: dict[str, Interval]) -> dict[tuple[str, str], Evaluation]:
    return {
        (metric, "all"): Evaluation(
            metric=metric, slice="all", value=value, low=low, high=high, scans=50
        )
        for metric, (value, low, high) in rows.items()
    }


@pytest.mark.parametrize(
    ("pointing", "text", "is_warning"),
    [
        (None, "was not measured", True),
        ((0.3, 0.2, 0.4), "does not beat pointing without looking", True),
        ((0.8, 0.7, 0.9), "beats both baselines that ignore the scan", False),
    ],
)
def test_claim_of_a_model_version_uses_its_own_run(
    settings: Settings, pointing: Interval | None, text: str, is_warning: bool
) -> None:
    judged_run(settings, random_answers(1, 60), random_answers(2, 60), pointing=pointing)
    claim = load_heatmap_claim(settings, CHALLENGER)
    assert claim is not None
    assert text in claim.text and claim.is_warning is is_warning
    older = load_heatmap_claim(settings, CHAMPION)
    assert older is not None and "was not measured" in older.text and older.is_warning
    assert load_heatmap_claim(settings, "m-none") is None


@pytest.mark.parametrize(
    ("fixed_pixel", "centred_blob", "unbeaten"),
    [
        ((0.1, 0.02, 0.18), (0.12, 0.01, 0.23), []),
        ((0.1, -0.02, 0.22), (0.12, 0.01, 0.23), ["_fixed_pixel"]),
        ((0.1, 0.0, 0.2), (0.12, -0.01, 0.25), BOTH),
    ],
)
def test_baseline_is_beaten_if_the_gain_interval_is_above_0(
    fixed_pixel: Interval, centred_blob: Interval, unbeaten: list[str]
) -> None:
    gains = {
        "pointing_game_gain_fixed_pixel": fixed_pixel,
        "pointing_game_gain_centred_blob": centred_blob,
    }
    assert unbeaten_baselines(numbers(MEASURED | gains)) == unbeaten


@pytest.mark.parametrize(("low", "unbeaten"), [(0.32, []), (0.29, ["_fixed_pixel"]), (0.2, BOTH)])
def test_older_run_is_judged_by_the_interval_of_its_heatmaps(
    low: float, unbeaten: list[str]
) -> None:
    rows = MEASURED | {"pointing_game": (0.4, low, 0.48)}
    assert unbeaten_baselines(numbers(rows)) == unbeaten


def test_unmeasured_heatmaps_have_no_result() -> None:
    assert unbeaten_baselines({}) is None
