"""A verdict and its rules in words."""

from __future__ import annotations

from collections.abc import Sequence

from tumorml.promotion.rules import RuleKind, kind_of
from tumorml.results.tables import Verdict, VerdictRule

MAX_REASON_LENGTH = 300
"""A longer reason is shortened; in characters."""


def outcome(verdict: Verdict) -> str:
    """Return the outcome, or ``waiting`` if the verdict waits for a person's approval."""
    return "waiting" if verdict.approval == "waiting" else verdict.outcome


def short_reason(verdict: Verdict, rules: Sequence[VerdictRule]) -> str:
    """Return the verdict's reason, shortened if it is long; the table of rules is complete."""
    not_passed = [rule for rule in rules if rule.result != "passed"]
    if len(verdict.reason) <= MAX_REASON_LENGTH or not not_passed:
        return verdict.reason
    first = "; ".join(f"{rule.rule} of {rule.slice}: {rule.explanation}" for rule in not_passed[:2])
    return f"{len(not_passed)} of {len(rules)} rules did not pass. The first: {first}."


def approval_statement(verdict: Verdict) -> str:
    """State whether approval was required, and the decision with its person and reason."""
    if verdict.approval is None:
        return "The policy did not require a person's approval."
    who = f" by {verdict.approval_by}" if verdict.approval_by else ""
    why = f", {verdict.approval_why}" if verdict.approval_why else ""
    return (
        f"A person's approval was required, because {verdict.approval_reason}: "
        f"{verdict.approval}{who}{why}."
    )


def explain_rules(verdict: Verdict, rules: Sequence[VerdictRule]) -> list[str]:
    """Explain the kinds of rules in a verdict, and the significance level of each look."""
    kinds = {rule.rule: kind_of(rule.rule) for rule in rules}
    explanations = [kind.explanation for kind in RuleKind if kind in kinds.values()]
    gain_rules = [rule for rule in rules if kinds[rule.rule] == RuleKind.GAIN]
    budget = next((r.threshold for r in rules if kinds[r.rule] == RuleKind.BUDGET), None)
    if verdict.look is not None and verdict.look_alpha is not None and budget and gain_rules:
        alpha = verdict.look_alpha
        explanations.append(
            f"This was look {verdict.look} of {budget:.0f} at test set {verdict.test_set_id}. The "
            f"probability that a model wins without being better is at most {alpha * budget:.3g} "
            f"over all looks: {alpha:.3g} for each look, {alpha / len(gain_rules):.3g} for each of "
            f"its {len(gain_rules)} gain rules."
        )
    return explanations
