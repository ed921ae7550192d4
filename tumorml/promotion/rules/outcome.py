"""What the rules come to."""

from __future__ import annotations

from collections.abc import Sequence

from tumorml.promotion.rules.result import RuleResult

INTEGRITY = ("leak_check", "own_split", "golden_scans")


def outcome_of(rules: Sequence[RuleResult], *, first: bool) -> tuple[str, str]:
    """A verdict's outcome and its reason.

    ``rejected``: the challenger's numbers cannot be believed, or it is the first and below a floor.
    ``kept``: something is too bad or got worse, or no gain is shown. ``insufficient``: nothing is
    known to be worse, but the test set cannot tell. ``promoted``: all is well.
    """
    lost = [rule for rule in rules if rule.result == "failed"]
    short = [rule for rule in rules if rule.result == "insufficient"]
    gains = [rule for rule in rules if rule.rule.startswith("gain_")]
    won = [rule for rule in gains if rule.result == "passed"]
    worse = [rule for rule in lost if rule not in gains]
    unsound = [rule for rule in worse if rule.rule in INTEGRITY]
    if unsound:
        return "rejected", _told(unsound)
    if worse:
        return ("rejected" if first else "kept"), _told(worse)
    if short:
        return "insufficient", _told(short)
    if first:
        return "promoted", "the first model: floors and golden scans only, and it passed them"
    if not won:
        return "kept", _told(gains)
    return "promoted", _told(won)


def _told(rules: Sequence[RuleResult]) -> str:
    return "; ".join(
        f"{rule.rule}{'' if rule.slice == 'all' else ' ' + rule.slice}: {rule.explanation}"
        for rule in rules
    )
