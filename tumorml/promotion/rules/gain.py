"""The gain rule: the challenger must be better than the champion."""

from __future__ import annotations

import numpy as np

from tumorml.evaluation.answers import Answers
from tumorml.policy import Policy
from tumorml.promotion.contest import Contest
from tumorml.promotion.paired import Change, changes_of
from tumorml.promotion.rules.result import (
    RuleResult,
    describe_change,
    passed_if,
    result_of_change,
)
from tumorml.promotion.rules.rule import Rule, RuleKind

_BOOTSTRAPPED = {"f1_macro": ("macro F1", True), "log_loss": ("log-loss", False)}
"""Metrics whose bounds come from the bootstrap: display name, and True if higher is better."""


def _check_gain(contest: Contest, policy: Policy) -> list[RuleResult]:
    """Check each kind of evidence of the policy, in the policy's order."""
    champion = contest.known_champion
    alpha = policy.looks.alpha_per_look / len(policy.gain.evidence)
    bootstrapped = [name for name in policy.gain.evidence if name in _BOOTSTRAPPED]
    changes = changes_of(
        contest.challenger, champion, contest.groups, bootstrapped, resamples=policy.resamples
    )
    return [
        _mcnemar_result(contest, champion, policy, alpha)
        if name == "mcnemar"
        else _bound_result(contest, name, changes[name], alpha)
        for name in policy.gain.evidence
    ]


def _bound_result(contest: Contest, name: str, change: Change, alpha: float) -> RuleResult:
    """Check that the bound of the change is on the better side of 0."""
    metric_name, higher_is_better = _BOOTSTRAPPED[name]
    low, high = change.low(1 - alpha), change.high(1 - alpha)
    change_in_words = describe_change(metric_name, change, 1 - alpha, upper=not higher_is_better)
    return result_of_change(
        change,
        rule=f"gain_{name}",
        slice_name="all",
        result=passed_if(low > 0 if higher_is_better else high < 0),
        explanation=f"{change_in_words}; that bound must be "
        f"{'above' if higher_is_better else 'below'} 0",
        size=contest.size(),
        threshold=0.0,
        confidence=1 - alpha,
    )


def _mcnemar_result(
    contest: Contest, champion: Answers, policy: Policy, alpha: float
) -> RuleResult:
    """Apply McNemar's exact test to groups; each is won or lost by its net change of right answers.

    A model can win more groups than it loses without being better: by winning one scan in each of
    many groups and losing all scans of a few. Therefore the lower bound of the change in accuracy
    must be above 0, too.
    """
    from scipy.stats import binomtest  # slow to import, and reports need only the rules' kinds

    new = contest.challenger.predicted == contest.truth
    old = champion.predicted == contest.truth
    _, member = np.unique(np.asarray(contest.groups, dtype=np.str_), return_inverse=True)
    net = np.bincount(member, new.astype(float) - old)
    won, lost = int((net > 0).sum()), int((net < 0).sum())
    p_value = float(binomtest(won, won + lost, alternative="greater").pvalue) if won + lost else 1.0
    change = changes_of(
        contest.challenger, champion, contest.groups, ["accuracy"], resamples=policy.resamples
    )["accuracy"]
    low = change.low(1 - alpha)
    return result_of_change(
        change,
        rule="gain_mcnemar",
        slice_name="all",
        result=passed_if(p_value <= alpha and low > 0),
        explanation=f"{won} groups won, {lost} lost: p = {p_value:.2g} by McNemar's exact test, it "
        f"must be at most {alpha:.3g}; {describe_change('accuracy', change, 1 - alpha)}; that "
        "bound must be above 0",
        size=contest.size(),
        threshold=0.0,
        confidence=1 - alpha,
        p_value=p_value,
    )


GAIN = Rule(
    "gain",
    RuleKind.GAIN,
    "At least one kind of evidence that the policy admits shows that the challenger is better: "
    "macro F1, log-loss, or McNemar's exact test over groups.",
    _check_gain,
    result_names=("gain_f1_macro", "gain_log_loss", "gain_mcnemar"),
)
