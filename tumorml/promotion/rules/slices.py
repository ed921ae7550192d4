"""The slice rule: no part of the test set may be clearly worse.

The rule fails only if harm is shown. Slices are small, so requiring evidence of no harm for each of
many slices would keep every challenger out.
"""

from __future__ import annotations

from tumorml.policy import Policy
from tumorml.promotion.contest import Contest
from tumorml.promotion.paired import change_of_share
from tumorml.promotion.rules.result import (
    RuleResult,
    describe_change,
    passed_if,
    result_of_change,
)
from tumorml.promotion.rules.rule import Rule, RuleKind


def _check_slices(contest: Contest, policy: Policy) -> list[RuleResult]:
    """Check the accuracy on each slice with enough scans and groups."""
    champion = contest.known_champion
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
            result_of_change(
                change,
                rule="slice_not_worse",
                slice_name=name,
                result=passed_if(change.difference >= -margin or high >= 0),
                explanation=f"{describe_change('accuracy', change, confidence, upper=True)}; the "
                f"rule fails if the change is below {-margin:+.4f} and that bound is below 0",
                size=(scans, groups),
                threshold=-margin,
                confidence=confidence,
            )
        )
    return results


SLICE_NOT_WORSE = Rule(
    "slice_not_worse",
    RuleKind.SLICE,
    "The accuracy on each slice (batch, site, size or value of a manifest column) with enough "
    "scans is not significantly lower than the champion's, or not by more than the margin.",
    _check_slices,
)
