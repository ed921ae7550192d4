"""What a challenger may not lose: each by the lower bound of its paired change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tumorml.evaluation.answers import Answers
from tumorml.labels import NO_TUMOR
from tumorml.policy import Policy
from tumorml.promotion.contest import Contest
from tumorml.promotion.paired import Change, change_of_share, changes_of
from tumorml.promotion.rules.result import (
    Result,
    RuleResult,
    passed_if,
    rule_about,
    told_change,
)


def recall_non_inferiority(contest: Contest, champion: Answers, policy: Policy) -> list[RuleResult]:
    """No label's recall is worse by more than its margin."""
    return [
        _share_kept(
            contest,
            policy,
            rule="recall_non_inferiority",
            where=f"label={label}",
            called="recall",
            chosen=contest.truth == index,
            right=(
                contest.challenger.predicted == contest.truth,
                champion.predicted == contest.truth,
            ),
            margin=policy.non_inferiority.recall_margin(label),
        )
        for index, label in enumerate(contest.labels)
    ]


def missed_tumor_non_inferiority(
    contest: Contest, champion: Answers, policy: Policy
) -> list[RuleResult]:
    """No more tumours are called ``no_tumor`` than before, up to a margin."""
    if NO_TUMOR not in contest.labels:
        return []
    none = contest.labels.index(NO_TUMOR)
    return [
        _share_kept(
            contest,
            policy,
            rule="missed_tumor_non_inferiority",
            where="all",
            called="share of tumours not called no_tumor",
            chosen=contest.truth != none,
            right=(contest.challenger.predicted != none, champion.predicted != none),
            margin=policy.non_inferiority.missed_tumor_margin_points / 100,
        )
    ]


def calibration_non_inferiority(contest: Contest, champion: Answers, policy: Policy) -> RuleResult:
    """The expected calibration error has not grown by more than the margin."""
    confidence = policy.non_inferiority.confidence
    margin = policy.non_inferiority.calibration_margin_points / 100
    change = changes_of(
        contest.challenger, champion, contest.groups, ["ece"], resamples=policy.resamples
    )["ece"]
    high = change.high(confidence)
    return rule_about(
        change,
        rule="calibration_non_inferiority",
        where="all",
        result=passed_if(high <= margin),
        explanation=told_change("expected calibration error", change, confidence, upper=True)
        + f"; that bound may not be above {margin:+.4f}",
        size=contest.size(),
        threshold=margin,
        confidence=confidence,
    )


def anchor_non_inferiority(contest: Contest, policy: Policy) -> RuleResult:
    """Macro F1 has not fallen behind the anchor's: no decay in small steps."""
    confidence = policy.non_inferiority.confidence
    margin = policy.non_inferiority.anchor_margin_points / 100
    if contest.anchor is None:
        scans, groups = contest.size()
        explanation = "the champion is the anchor itself: the rules above compare with it"
        return RuleResult("anchor_non_inferiority", "all", "passed", explanation, scans, groups)
    change = changes_of(
        contest.challenger,
        contest.anchor,
        contest.groups,
        ["f1_macro"],
        resamples=policy.resamples,
    )["f1_macro"]
    low = change.low(confidence)
    return rule_about(
        change,
        rule="anchor_non_inferiority",
        where="all",
        result=passed_if(low >= -margin),
        explanation=told_change("against the anchor: macro F1", change, confidence)
        + f"; that bound may not be below {-margin:+.4f}",
        size=contest.size(),
        threshold=-margin,
        confidence=confidence,
    )


def _share_kept(
    contest: Contest,
    policy: Policy,
    *,
    rule: str,
    where: str,
    called: str,
    chosen: NDArray[np.bool_],
    right: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    margin: float,
) -> RuleResult:
    """Right answers of challenger and champion about the chosen scans."""
    if not chosen.any():
        return RuleResult(rule, where, "insufficient", "no test scan shows it", 0, 0)
    confidence = policy.non_inferiority.confidence
    change = change_of_share(
        right[0][chosen],
        right[1][chosen],
        contest.groups_of(chosen),
        resamples=policy.resamples,
    )
    result = _kept(change, margin, confidence)
    size = contest.size(chosen)
    too_few = f" ({size[0]} scans of {size[1]} groups are too few to say)"
    return rule_about(
        change,
        rule=rule,
        where=where,
        result=result,
        explanation=f"{told_change(called, change, confidence)}; that bound may not be below "
        f"{-margin:+.4f}" + (too_few if result == "insufficient" else ""),
        size=size,
        threshold=-margin,
        confidence=confidence,
    )


def _kept(change: Change, margin: float, confidence: float) -> Result:
    if change.low(confidence) >= -margin:
        return "passed"
    return "insufficient" if change.cannot_rule_out(margin, confidence) else "failed"
