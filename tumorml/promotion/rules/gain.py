"""Whether the challenger beats the champion."""

from __future__ import annotations

import numpy as np
from scipy.stats import binomtest

from tumorml.evaluation.answers import Answers
from tumorml.policy import Policy
from tumorml.promotion.contest import Contest
from tumorml.promotion.paired import Change, changes_of
from tumorml.promotion.rules.result import RuleResult, passed_if, rule_about, told_change

BOOTSTRAPPED = {"f1_macro": ("macro F1", 1), "log_loss": ("log-loss", -1)}
"""Evidence by name: what people call it, and which way is better."""


def gains(contest: Contest, champion: Answers, policy: Policy) -> list[RuleResult]:
    """Each kind of evidence that the policy admits; one that passes is enough."""
    alpha = policy.looks.alpha_per_look / len(policy.gain.evidence)
    bootstrapped = [name for name in policy.gain.evidence if name in BOOTSTRAPPED]
    changes = changes_of(
        contest.challenger, champion, contest.groups, bootstrapped, resamples=policy.resamples
    )
    return [
        _mcnemar(contest, champion, policy, alpha)
        if name == "mcnemar"
        else _gain(contest, name, changes[name], alpha)
        for name in policy.gain.evidence
    ]


def _gain(contest: Contest, name: str, change: Change, alpha: float) -> RuleResult:
    called, better = BOOTSTRAPPED[name]
    low, high = change.low(1 - alpha), change.high(1 - alpha)
    won = low > 0 if better > 0 else high < 0
    return rule_about(
        change,
        rule=f"gain_{name}",
        where="all",
        result=passed_if(won),
        explanation=f"{told_change(called, change, 1 - alpha, upper=better < 0)}; that bound must "
        f"be {'above' if better > 0 else 'below'} 0",
        size=contest.size(),
        threshold=0.0,
        confidence=1 - alpha,
    )


def _mcnemar(contest: Contest, champion: Answers, policy: Policy, alpha: float) -> RuleResult:
    """McNemar's exact test over groups: each counts once, won or lost by its net change.

    Who wins a little in many groups and loses much in few wins more groups without being better, so
    the accuracy must have grown beyond chance, too.
    """
    new = contest.challenger.predicted == contest.truth
    old = champion.predicted == contest.truth
    _, member = np.unique(np.asarray(contest.groups, dtype=np.str_), return_inverse=True)
    net = np.bincount(member, new.astype(float) - old)
    won, lost = int((net > 0).sum()), int((net < 0).sum())
    chance = float(binomtest(won, won + lost, alternative="greater").pvalue) if won + lost else 1.0
    change = changes_of(
        contest.challenger, champion, contest.groups, ["accuracy"], resamples=policy.resamples
    )["accuracy"]
    low = change.low(1 - alpha)
    return rule_about(
        change,
        rule="gain_mcnemar",
        where="all",
        result=passed_if(chance <= alpha and low > 0),
        explanation=f"{won} groups won, {lost} lost: p = {chance:.2g} by McNemar's exact test, it "
        f"must be at most {alpha:.3g}; {told_change('accuracy', change, 1 - alpha)}; that bound "
        "must be above 0",
        size=contest.size(),
        threshold=0.0,
        confidence=1 - alpha,
        p_value=chance,
    )
