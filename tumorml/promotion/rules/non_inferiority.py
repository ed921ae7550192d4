"""Non-inferiority rules: the bound of each paired change must stay within a margin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tumorml.labels import NO_TUMOR
from tumorml.policy import Policy
from tumorml.promotion.contest import Contest
from tumorml.promotion.paired import Change, change_of_share, changes_of
from tumorml.promotion.rules.result import (
    Result,
    RuleResult,
    describe_change,
    passed_if,
    result_of_change,
)
from tumorml.promotion.rules.rule import Rule, RuleKind


def _check_recalls(contest: Contest, policy: Policy) -> list[RuleResult]:
    champion = contest.known_champion
    return [
        _share_result(
            contest,
            policy,
            rule="recall_non_inferiority",
            slice_name=f"label={label}",
            metric_name="recall",
            chosen=contest.truth == index,
            challenger_right=contest.challenger.predicted == contest.truth,
            champion_right=champion.predicted == contest.truth,
            margin=policy.non_inferiority.recall_margin(label),
        )
        for index, label in enumerate(contest.labels)
    ]


def _check_missed_tumors(contest: Contest, policy: Policy) -> list[RuleResult]:
    if NO_TUMOR not in contest.labels:
        return []
    no_tumor = contest.labels.index(NO_TUMOR)
    return [
        _share_result(
            contest,
            policy,
            rule="missed_tumor_non_inferiority",
            slice_name="all",
            metric_name="share of tumors not called no_tumor",
            chosen=contest.truth != no_tumor,
            challenger_right=contest.challenger.predicted != no_tumor,
            champion_right=contest.known_champion.predicted != no_tumor,
            margin=policy.non_inferiority.missed_tumor_margin_points / 100,
        )
    ]


def _check_calibration(contest: Contest, policy: Policy) -> list[RuleResult]:
    confidence = policy.non_inferiority.confidence
    margin = policy.non_inferiority.calibration_margin_points / 100
    change = changes_of(
        contest.challenger,
        contest.known_champion,
        contest.groups,
        ["ece"],
        resamples=policy.resamples,
    )["ece"]
    return [
        result_of_change(
            change,
            rule="calibration_non_inferiority",
            slice_name="all",
            result=passed_if(change.high(confidence) <= margin),
            explanation=describe_change(
                "expected calibration error", change, confidence, upper=True
            )
            + f"; that bound must not be above {margin:+.4f}",
            size=contest.size(),
            threshold=margin,
            confidence=confidence,
        )
    ]


def _check_anchor(contest: Contest, policy: Policy) -> list[RuleResult]:
    confidence = policy.non_inferiority.confidence
    margin = policy.non_inferiority.anchor_margin_points / 100
    if contest.anchor is None:
        scans, groups = contest.size()
        explanation = "the champion is the anchor; other rules compare with it"
        return [RuleResult("anchor_non_inferiority", "all", "passed", explanation, scans, groups)]
    change = changes_of(
        contest.challenger,
        contest.anchor,
        contest.groups,
        ["f1_macro"],
        resamples=policy.resamples,
    )["f1_macro"]
    return [
        result_of_change(
            change,
            rule="anchor_non_inferiority",
            slice_name="all",
            result=passed_if(change.low(confidence) >= -margin),
            explanation=describe_change("against the anchor: macro F1", change, confidence)
            + f"; that bound must not be below {-margin:+.4f}",
            size=contest.size(),
            threshold=-margin,
            confidence=confidence,
        )
    ]


def _share_result(
    contest: Contest,
    policy: Policy,
    *,
    rule: str,
    slice_name: str,
    metric_name: str,
    chosen: NDArray[np.bool_],
    challenger_right: NDArray[np.bool_],
    champion_right: NDArray[np.bool_],
    margin: float,
) -> RuleResult:
    """Check that the share of right answers among the chosen scans has not fallen.

    Args:
        contest: The contest, of n test scans.
        policy: The policy.
        rule: Name of the result.
        slice_name: Name of the slice.
        metric_name: Name of the share in prose.
        chosen: bool [n], the scans that the share is about.
        challenger_right: bool [n], scans that the challenger answered right.
        champion_right: bool [n], scans that the champion answered right.
        margin: Largest loss that is allowed, a share.
    """
    if not chosen.any():
        return RuleResult(rule, slice_name, "insufficient", "the test set has no such scan", 0, 0)
    confidence = policy.non_inferiority.confidence
    change = change_of_share(
        challenger_right[chosen],
        champion_right[chosen],
        contest.groups_of(chosen),
        resamples=policy.resamples,
    )
    result = _within_margin(change, margin, confidence)
    scans, groups = contest.size(chosen)
    too_few = f" ({scans} scans of {groups} groups are too few to decide)"
    return result_of_change(
        change,
        rule=rule,
        slice_name=slice_name,
        result=result,
        explanation=f"{describe_change(metric_name, change, confidence)}; that bound must not be "
        f"below {-margin:+.4f}" + (too_few if result == "insufficient" else ""),
        size=(scans, groups),
        threshold=-margin,
        confidence=confidence,
    )


def _within_margin(change: Change, margin: float, confidence: float) -> Result:
    if change.low(confidence) >= -margin:
        return "passed"
    return "insufficient" if change.cannot_rule_out(margin, confidence) else "failed"


RECALL_NON_INFERIORITY = Rule(
    "recall_non_inferiority",
    RuleKind.NON_INFERIORITY,
    "The recall of each label is not lower than the champion's by more than the margin, which is "
    "tighter for tumors.",
    _check_recalls,
)
MISSED_TUMOR_NON_INFERIORITY = Rule(
    "missed_tumor_non_inferiority",
    RuleKind.NON_INFERIORITY,
    "The share of tumors that are not called no_tumor has not fallen by more than the margin.",
    _check_missed_tumors,
)
CALIBRATION_NON_INFERIORITY = Rule(
    "calibration_non_inferiority",
    RuleKind.NON_INFERIORITY,
    "The expected calibration error has not grown by more than the margin.",
    _check_calibration,
)
ANCHOR_NON_INFERIORITY = Rule(
    "anchor_non_inferiority",
    RuleKind.NON_INFERIORITY,
    "Macro F1 is not lower than the anchor's by more than the margin, so that small losses do not "
    "add up over many promotions.",
    _check_anchor,
)
