"""The budget rule: a limit on the number of looks at a test set."""

from __future__ import annotations

from tumorml.policy import Policy
from tumorml.promotion.contest import Contest
from tumorml.promotion.rules.result import RuleResult
from tumorml.promotion.rules.rule import Rule, RuleKind


def _check_budget(contest: Contest, policy: Policy) -> list[RuleResult]:
    look, looks = contest.look, policy.looks
    if look is None:
        return []
    allowed = look.is_allowed(looks)
    scans, groups = contest.size()
    return [
        RuleResult(
            "look_budget",
            "all",
            "passed" if allowed else "insufficient",
            f"look {look.number} of {looks.budget} at test set {look.test_set_id}, at a "
            f"significance level of {look.alpha:.2g}"
            if allowed
            else f"the budget of looks at test set {look.test_set_id} is spent; "
            f"{looks.renewal_share:.0%} of its groups must be new before the next look",
            scans,
            groups,
            challenger_value=float(look.number),
            threshold=float(looks.budget),
        )
    ]


LOOK_BUDGET = Rule(
    "look_budget",
    RuleKind.BUDGET,
    "The number of looks at this version of the test set, and the sum of their significance "
    "levels, are within the policy's budget.",
    _check_budget,
)
