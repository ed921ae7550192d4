"""Integrity rules, and the latency of golden scans."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.factories.contests import contest, find_result, packaged_policy
from tumorml.promotion.contest import GoldenCheck
from tumorml.promotion.rules import apply_rules, outcome_of
from tumorml.promotion.rules.integrity import LEAK_CHECK, OWN_SPLIT


def test_leaking_test_scans_are_counted_and_rejected() -> None:
    results = apply_rules(replace(contest(0.05, 0.15, scans=400), leaking=3), packaged_policy())
    leak_check = find_result(results, "leak_check")
    assert (leak_check.result, leak_check.challenger_value) == ("failed", 3.0)
    assert outcome_of(results, first=False)[0] == "rejected"
    (clean,) = LEAK_CHECK.check(contest(0.05, 0.15), packaged_policy())
    assert clean.result == "passed"


def test_given_split_is_rejected_and_own_split_leaves_no_row() -> None:
    policy = packaged_policy()
    assert OWN_SPLIT.check(contest(0.05, None), policy) == []
    results = apply_rules(replace(contest(0.05, None), given_split=True), policy)
    assert find_result(results, "own_split").result == "failed"
    assert outcome_of(results, first=True)[0] == "rejected"


@pytest.mark.parametrize(
    ("golden", "explanation"),
    [
        (
            GoldenCheck(16, 0.01, latency_ms=20.0),
            "probabilities of the stored model differ by at most 0.01",
        ),
        (GoldenCheck(0, problem="gone"), "the stored model cannot be checked: gone"),
    ],
)
def test_model_that_fails_golden_scans_is_rejected(golden: GoldenCheck, explanation: str) -> None:
    results = apply_rules(replace(contest(0.05, 0.15, scans=400), golden=golden), packaged_policy())
    outcome, reason = outcome_of(results, first=False)
    assert outcome == "rejected"
    assert reason.startswith("golden_scans: ") and explanation in reason


def test_slow_model_is_kept_out_but_not_rejected() -> None:
    slow = GoldenCheck(16, largest_difference=1e-6, latency_ms=5000.0)
    results = apply_rules(replace(contest(0.05, 0.15), golden=slow), packaged_policy())
    assert outcome_of(results, first=False) == (
        "kept",
        "golden_latency: 5000 ms per scan; at most 1000 ms are allowed",
    )
