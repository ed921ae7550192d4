"""Parts of the test set on which a challenger may not be clearly worse.

A tripwire, not a proof: a part is small, and asking each of many parts for proof of no harm would
keep every challenger out.
"""

from __future__ import annotations

from tumorml.evaluation.answers import Answers
from tumorml.policy import Policy
from tumorml.promotion.contest import Contest
from tumorml.promotion.paired import change_of_share
from tumorml.promotion.rules.result import RuleResult, passed_if, rule_about, told_change


def slices_not_worse(contest: Contest, champion: Answers, policy: Policy) -> list[RuleResult]:
    """Accuracy on each part of enough size: not worse by the margin, and that beyond chance."""
    confidence = policy.non_inferiority.confidence
    margin = policy.slices.margin_points / 100
    results = []
    for name, chosen in contest.slices.items():
        scans, groups = contest.size(chosen)
        if scans < policy.slices.min_scans or groups < policy.slices.min_groups:
            continue
        truth = contest.truth[chosen]
        change = change_of_share(
            contest.challenger.predicted[chosen] == truth,
            champion.predicted[chosen] == truth,
            contest.groups_of(chosen),
            resamples=policy.resamples,
        )
        high = change.high(confidence)
        results.append(
            rule_about(
                change,
                rule="slice_not_worse",
                where=name,
                result=passed_if(change.difference >= -margin or high >= 0),
                explanation=f"{told_change('accuracy', change, confidence, upper=True)}; worse "
                f"means a change below {-margin:+.4f} and that bound below 0",
                size=(scans, groups),
                threshold=-margin,
                confidence=confidence,
            )
        )
    return results
