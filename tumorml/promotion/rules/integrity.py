"""Integrity rules: conditions without which the measured numbers are not valid."""

from __future__ import annotations

from tumorml.policy import Policy
from tumorml.promotion.contest import Contest
from tumorml.promotion.rules.result import RuleResult, passed_if
from tumorml.promotion.rules.rule import Rule, RuleKind


def _check_leaks(contest: Contest, _policy: Policy) -> list[RuleResult]:
    scans, groups = contest.size()
    return [
        RuleResult(
            "leak_check",
            "all",
            passed_if(contest.leaking == 0),
            f"{contest.leaking} test scans leak into the challenger's training data; 0 are allowed",
            scans,
            groups,
            challenger_value=float(contest.leaking),
            threshold=0.0,
        )
    ]


def _check_split(contest: Contest, _policy: Policy) -> list[RuleResult]:
    if not contest.given_split:
        return []
    scans, groups = contest.size()
    explanation = "trained on a split given by the data set, which may leak; a benchmark only"
    return [RuleResult("own_split", "all", "failed", explanation, scans, groups)]


def _check_golden_scans(contest: Contest, policy: Policy) -> list[RuleResult]:
    golden, tolerance = contest.golden, policy.golden.tolerance
    if golden.largest_difference is None:
        explanation = f"the stored model cannot be checked: {golden.problem}"
        return [RuleResult("golden_scans", "all", "failed", explanation, golden.scans, 0)]
    return [
        RuleResult(
            "golden_scans",
            "all",
            passed_if(golden.largest_difference <= tolerance),
            f"on {golden.scans} golden scans, the probabilities of the stored model differ by at "
            f"most {golden.largest_difference:.2g}; {tolerance:.2g} is allowed",
            golden.scans,
            golden.scans,
            challenger_value=golden.largest_difference,
            threshold=tolerance,
        )
    ]


LEAK_CHECK = Rule(
    "leak_check",
    RuleKind.INTEGRITY,
    "No test scan leaks into the challenger's training data, checked against the snapshot's list "
    "and against all twins and groups known when the run is judged.",
    _check_leaks,
)
OWN_SPLIT = Rule(
    "own_split",
    RuleKind.INTEGRITY,
    "The model was not trained on the given split of a data set; the rule has a row only when it "
    "fails.",
    _check_split,
)
GOLDEN_SCANS = Rule(
    "golden_scans",
    RuleKind.INTEGRITY,
    "The stored model, fetched anew and loaded by the serving code, reproduces the probabilities "
    "that were recorded during training.",
    _check_golden_scans,
)
