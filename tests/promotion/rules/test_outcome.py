"""The outcome of all rules together."""

from __future__ import annotations

import re

import pytest

from tests.factories.contests import contest, packaged_policy, results_of
from tumorml.promotion.rules import RuleKind, apply_rules, kind_of, outcome_of


def test_clearly_better_challenger_passes_every_rule() -> None:
    results = results_of(0.05, 0.15)
    assert {row.result for row in results} == {"passed"}
    assert outcome_of(results, first=False)[0] == "promoted"


def test_equal_challenger_fails_only_the_gain_rules() -> None:
    results = results_of(0.10, 0.10)
    assert {row.rule for row in results if row.result == "failed"} == {
        "gain_f1_macro",
        "gain_mcnemar",
    }
    outcome, reason = outcome_of(results, first=False)
    assert outcome == "kept"
    assert "macro F1 0.8900 -> 0.8900" in reason


def test_large_gain_passes_on_a_small_test_set() -> None:
    results = apply_rules(contest(0.02, 0.60, scans=200), packaged_policy())
    assert outcome_of(results, first=False)[0] == "promoted"


def test_first_model_is_checked_by_integrity_and_floors() -> None:
    results = results_of(0.1, None)
    assert {kind_of(row.rule) for row in results} == {RuleKind.INTEGRITY, RuleKind.FLOOR}
    assert {"leak_check", "golden_scans", "f1_floor", "recall_floor"} <= {r.rule for r in results}
    assert outcome_of(results, first=True) == (
        "promoted",
        "first model: it passed the integrity rules and the floors",
    )


def test_first_model_below_a_floor_is_rejected() -> None:
    outcome, reason = outcome_of(results_of(0.9, None), first=True)
    assert outcome == "rejected"
    assert reason.startswith("f1_floor: macro F1 0.1")


def test_later_model_below_a_floor_is_kept_out() -> None:
    outcome, reason = outcome_of(results_of(0.9, 0.95), first=False)
    assert outcome == "kept"
    assert reason.startswith("f1_floor: macro F1 0.1")


@pytest.mark.parametrize("scans", [3, 4, 28])
def test_too_few_test_scans_of_a_label_are_insufficient(scans: int) -> None:
    results = apply_rules(contest(0.0, None, scans=scans), packaged_policy())
    assert outcome_of(results, first=True)[0] == "insufficient"
    assert "recall_floor" in {row.rule for row in results if row.result == "insufficient"}


def test_explanations_contain_the_stored_bounds() -> None:
    policy = packaged_policy()
    results = results_of(0.05, 0.15)
    changes = [row for row in results if row.confidence is not None]
    assert len(changes) >= 8
    for row in changes:
        assert row.low is not None and row.high is not None and row.confidence is not None
        text = re.search(
            r"a change of (\S+), at (\w+) (\S+) with (\S+) % confidence", row.explanation
        )
        assert text is not None
        bound = row.low if text[2] == "least" else row.high
        assert float(text[1]) == pytest.approx(row.difference, abs=0.00005)
        assert float(text[3]) == pytest.approx(bound, abs=0.00005)
        assert float(text[4]) == pytest.approx(100 * row.confidence)
    gains = [row for row in results if kind_of(row.rule) == RuleKind.GAIN]
    alpha = policy.looks.alpha / policy.looks.budget / len(gains)
    assert {row.confidence for row in gains} == {1 - alpha}
