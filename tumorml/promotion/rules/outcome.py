"""The outcome of a verdict, from the results of its rules."""

from __future__ import annotations

from collections.abc import Sequence

from tumorml.promotion.rules.all_rules import kind_of
from tumorml.promotion.rules.result import RuleResult
from tumorml.promotion.rules.rule import RuleKind


def outcome_of(results: Sequence[RuleResult], *, first: bool) -> tuple[str, str]:
    """Return a verdict's outcome and its reason.

    The outcomes, in order of precedence:

    - ``rejected``: an integrity rule failed, or the first model is below a floor.
    - ``kept``: another rule than a gain rule failed.
    - ``insufficient``: no such rule failed, but the test set is too small for some rules.
    - ``kept``: no gain rule passed.
    - ``promoted``: all other rules passed, and at least one gain rule.

    Args:
        results: The results of all rules.
        first: True if there is no champion to compare with.
    """
    gains = [result for result in results if kind_of(result.rule) == RuleKind.GAIN]
    shown_gains = [result for result in gains if result.result == "passed"]
    failed = [result for result in results if result.result == "failed" and result not in gains]
    insufficient = [result for result in results if result.result == "insufficient"]
    untrusted = [result for result in failed if kind_of(result.rule) == RuleKind.INTEGRITY]
    if untrusted:
        return "rejected", _explanations(untrusted)
    if failed:
        return ("rejected" if first else "kept"), _explanations(failed)
    if insufficient:
        return "insufficient", _explanations(insufficient)
    if first:
        return "promoted", "first model: it passed the integrity rules and the floors"
    if not shown_gains:
        return "kept", _explanations(gains)
    return "promoted", _explanations(shown_gains)


def _explanations(results: Sequence[RuleResult]) -> str:
    return "; ".join(
        f"{result.rule}{'' if result.slice == 'all' else ' ' + result.slice}: {result.explanation}"
        for result in results
    )
