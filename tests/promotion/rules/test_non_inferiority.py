"""Non-inferiority rules: recall, missed tumors, calibration and the anchor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.factories.contests import contest, find_result, packaged_policy, with_errors_on
from tests.factories.runs import NAMES
from tumorml.promotion.rules import apply_rules, outcome_of
from tumorml.promotion.rules.non_inferiority import (
    ANCHOR_NON_INFERIORITY,
    CALIBRATION_NON_INFERIORITY,
    RECALL_NON_INFERIORITY,
)

GLIOMA, MENINGIOMA, NO_TUMOR = map(NAMES.index, ("glioma", "meningioma", "no_tumor"))


def test_lower_recall_of_one_tumor_fails_despite_a_gain() -> None:
    subject = contest(0.02, 0.20)
    subject = replace(
        subject,
        challenger=with_errors_on(
            subject.challenger, GLIOMA, one_in=10, predicted_label=MENINGIOMA
        ),
        champion=with_errors_on(
            subject.known_champion, GLIOMA, one_in=50, predicted_label=MENINGIOMA
        ),
    )
    results = apply_rules(subject, packaged_policy())
    assert find_result(results, "gain_f1_macro").result == "passed"
    assert find_result(results, "recall_non_inferiority", "label=glioma").result == "failed"
    assert find_result(results, "missed_tumor_non_inferiority").result == "passed"
    outcome, reason = outcome_of(results, first=False)
    assert outcome == "kept"
    assert reason.startswith("recall_non_inferiority label=glioma: recall 0.98")


def test_missed_tumors_have_their_own_margin() -> None:
    policy = packaged_policy()
    lenient = policy.non_inferiority.model_copy(update={"tumor_recall_margin_points": 100.0})
    subject = contest(0.02, 0.20)
    subject = replace(
        subject,
        challenger=with_errors_on(subject.challenger, GLIOMA, one_in=8, predicted_label=NO_TUMOR),
        champion=with_errors_on(
            subject.known_champion, MENINGIOMA, one_in=50, predicted_label=GLIOMA
        ),
    )
    results = apply_rules(subject, policy.model_copy(update={"non_inferiority": lenient}))
    assert find_result(results, "recall_non_inferiority", "label=glioma").result == "passed"
    assert find_result(results, "missed_tumor_non_inferiority").result == "failed"


@pytest.mark.parametrize(("label", "margin"), [("glioma", -0.025), ("no_tumor", -0.05)])
def test_margin_is_tighter_for_tumors(label: str, margin: float) -> None:
    results = RECALL_NON_INFERIORITY.check(contest(0.05, 0.05), packaged_policy())
    result = find_result(results, "recall_non_inferiority", f"label={label}")
    assert result.threshold == pytest.approx(margin)


def test_too_few_groups_are_insufficient_without_any_change() -> None:
    results = apply_rules(contest(0.0, 0.0, scans=200), packaged_policy())
    glioma = find_result(results, "recall_non_inferiority", "label=glioma")
    assert glioma.result == "insufficient"
    assert glioma.low is not None and glioma.low < 0 == glioma.difference
    assert "50 scans of 50 groups are too few" in glioma.explanation
    assert outcome_of(results, first=False)[0] == "insufficient"


def test_worse_calibration_fails() -> None:
    subject = contest(0.05, 0.06)  # both are 94 % sure, and the champion is right as often
    overconfident = subject.challenger.probabilities.copy()
    overconfident[np.arange(len(overconfident)), subject.challenger.predicted] = 1.0
    challenger = replace(subject.challenger, probabilities=overconfident)
    policy = packaged_policy()
    (before,) = CALIBRATION_NON_INFERIORITY.check(subject, policy)
    (after,) = CALIBRATION_NON_INFERIORITY.check(replace(subject, challenger=challenger), policy)
    assert (before.result, after.result) == ("passed", "failed")
    assert after.difference == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize(("anchor_errors", "outcome"), [(0.10, "passed"), (0.02, "failed")])
def test_challenger_is_compared_with_the_anchor(anchor_errors: float, outcome: str) -> None:
    subject = replace(contest(0.10, 0.15), anchor=contest(anchor_errors, None).challenger)
    (result,) = ANCHOR_NON_INFERIORITY.check(subject, packaged_policy())
    assert (result.result, result.threshold) == (outcome, -0.02)


def test_anchor_rule_passes_if_champion_is_the_anchor() -> None:
    (result,) = ANCHOR_NON_INFERIORITY.check(contest(0.5, 0.0), packaged_policy())
    assert (result.result, result.difference) == ("passed", None)
    assert "the champion is the anchor" in result.explanation
