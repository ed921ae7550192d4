"""A verdict in words."""

from __future__ import annotations

from collections.abc import Sequence

from tumorml.results.tables import Verdict, VerdictRule

LONGEST_REASON = 300


def outcome(verdict: Verdict) -> str:
    """One word; ``waiting`` while a person has still to answer."""
    return "waiting" if verdict.approval == "waiting" else verdict.outcome


def reason(verdict: Verdict, rules: Sequence[VerdictRule]) -> str:
    """Why the verdict is what it is, in short: the table of rules has the whole."""
    against = [rule for rule in rules if rule.result != "passed"]
    if len(verdict.reason) <= LONGEST_REASON or not against:
        return verdict.reason
    first = "; ".join(f"{rule.rule} of {rule.slice}: {rule.explanation}" for rule in against[:2])
    return f"{len(against)} of {len(rules)} rules did not pass, the first: {first}."


def approval_statement(verdict: Verdict) -> str:
    """Who was asked, and what they said; empty where nobody was."""
    if verdict.approval is None:
        return ""
    who = f" by {verdict.approval_by}" if verdict.approval_by else ""
    why = f", {verdict.approval_why}" if verdict.approval_why else ""
    return f"A person was asked, because {verdict.approval_reason}: {verdict.approval}{who}{why}."
