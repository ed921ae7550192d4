"""Whether the numbers can be believed at all: leaks, the stored artifact, the split."""

from __future__ import annotations

from tumorml.policy import Policy
from tumorml.promotion.contest import Contest
from tumorml.promotion.rules.result import RuleResult, passed_if


def leak_check(contest: Contest) -> RuleResult:
    """No test scan has a twin, or another scan of its group, in the challenger's training data."""
    scans, groups = contest.size()
    return RuleResult(
        "leak_check",
        "all",
        passed_if(contest.leaking == 0),
        f"{contest.leaking} test scans are touched by the challenger's training data; none may be",
        scans,
        groups,
        challenger_value=float(contest.leaking),
        threshold=0.0,
    )


def own_split(contest: Contest) -> list[RuleResult]:
    """A model of a given split is a benchmark, and never serves."""
    if not contest.given_split:
        return []
    scans, groups = contest.size()
    explanation = "trained on a split given by the data set, which may leak: a benchmark only"
    return [RuleResult("own_split", "all", "failed", explanation, scans, groups)]


def golden_scans(contest: Contest, policy: Policy) -> list[RuleResult]:
    """The stored artifact repeats what training answered, and answers fast enough."""
    golden, limits = contest.golden, policy.golden
    if golden.problem is not None or golden.largest_difference is None or golden.latency_ms is None:
        explanation = f"the stored model cannot be asked: {golden.problem}"
        return [RuleResult("golden_scans", "all", "failed", explanation, golden.scans, 0)]
    return [
        RuleResult(
            "golden_scans",
            "all",
            passed_if(golden.largest_difference <= limits.tolerance),
            f"{golden.scans} validation scans answered again by the stored model: probabilities "
            f"differ by {golden.largest_difference:.2g} at most, {limits.tolerance:.2g} is allowed",
            golden.scans,
            golden.scans,
            challenger_value=golden.largest_difference,
            threshold=limits.tolerance,
        ),
        RuleResult(
            "golden_latency",
            "all",
            passed_if(golden.latency_ms <= limits.max_latency_ms),
            f"{golden.latency_ms:.0f} ms a scan, {limits.max_latency_ms:.0f} ms are allowed",
            golden.scans,
            golden.scans,
            challenger_value=golden.latency_ms,
            threshold=limits.max_latency_ms,
        ),
    ]
