"""The gain rule: bounds of macro F1 and log-loss, and McNemar's test over groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.factories.contests import contest, find_result, packaged_policy
from tests.factories.runs import confident_answers
from tumorml.policy import Evidence, Policy
from tumorml.promotion.contest import Contest
from tumorml.promotion.rules import apply_rules, outcome_of
from tumorml.promotion.rules.gain import GAIN


def policy_with(*evidence: Evidence) -> Policy:
    policy = packaged_policy()
    gain = policy.gain.model_copy(update={"evidence": evidence})
    return policy.model_copy(update={"gain": gain})


def with_surer_right_answers(subject: Contest) -> Contest:
    """Raise the challenger's probability of its right answers from 0.94 to 0.994."""
    right = subject.challenger.predicted == subject.truth
    probabilities = subject.challenger.probabilities.copy()
    probabilities[right] = 0.002
    probabilities[np.flatnonzero(right), subject.truth[right]] = 0.994
    return replace(subject, challenger=replace(subject.challenger, probabilities=probabilities))


def test_gain_result_has_value_bounds_and_confidence() -> None:
    gain = find_result(GAIN.check(contest(0.05, 0.15), packaged_policy()), "gain_f1_macro")
    assert gain.low is not None and gain.high is not None and gain.difference is not None
    assert gain.threshold == 0 < gain.low < gain.difference < gain.high
    assert gain.difference == pytest.approx(0.10, abs=0.02)
    assert gain.scans == gain.groups == 4000
    # 0.05 over 20 looks and two kinds of evidence
    assert gain.confidence == pytest.approx(1 - 0.05 / 40)


@pytest.mark.parametrize("evidence", [("mcnemar", "f1_macro"), ("log_loss", "mcnemar")])
def test_results_are_in_the_policys_order(evidence: tuple[Evidence, ...]) -> None:
    results = GAIN.check(contest(0.05, 0.15), policy_with(*evidence))
    assert [row.rule for row in results] == [f"gain_{name}" for name in evidence]


def test_one_kind_of_evidence_is_enough_to_win() -> None:
    subject = with_surer_right_answers(contest(0.02, 0.02))
    results = apply_rules(subject, policy_with("f1_macro", "log_loss"))
    assert find_result(results, "gain_f1_macro").result == "failed"
    assert find_result(results, "gain_log_loss").result == "passed"
    outcome, reason = outcome_of(results, first=False)
    assert outcome == "promoted"
    assert reason.startswith("gain_log_loss: log-loss")


def test_mcnemar_counts_each_group_once() -> None:
    policy = policy_with("mcnemar")
    subject = contest(0.05, 0.10)
    (separate,) = GAIN.check(subject, policy)
    assert separate.result == "passed" and separate.p_value is not None
    assert separate.p_value < 1e-9
    one_group = replace(subject, groups=["the only group"] * len(subject.groups))
    (together,) = GAIN.check(one_group, policy)
    assert (together.result, together.p_value) == ("failed", 0.5)


def test_mcnemar_needs_a_gain_in_accuracy_too() -> None:
    """The challenger wins one scan of many groups and loses all scans of a few."""
    subject = contest(0.10, 0.10, scans=3000)
    champion_wrong = np.arange(3000) % 3 == 0  # one scan of each group of three
    challenger_wrong = champion_wrong.copy()
    challenger_wrong[:360] = False  # 120 groups won by one scan
    challenger_wrong[-180:] = True  # 60 groups lost by two scans
    truth, names = subject.truth, list(subject.challenger.scan_ids)
    wrong = (truth + 1) % 4
    subject = replace(
        subject,
        groups=[str(index // 3) for index in range(3000)],
        challenger=confident_answers(names, truth, np.where(challenger_wrong, wrong, truth)),
        champion=confident_answers(names, truth, np.where(champion_wrong, wrong, truth)),
    )
    result = find_result(GAIN.check(subject, packaged_policy()), "gain_mcnemar")
    assert result.explanation.startswith("120 groups won, 60 lost")
    assert result.p_value is not None and result.p_value < 1e-5
    assert result.difference == 0
    assert result.result == "failed"


def test_single_group_shows_no_gain() -> None:
    subject = replace(contest(0.05, 0.15), groups=["one"] * 4000)
    gain = find_result(GAIN.check(subject, packaged_policy()), "gain_f1_macro")
    assert (gain.result, gain.low) == ("failed", None)
