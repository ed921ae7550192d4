"""A verdict in words."""

from __future__ import annotations

from collections.abc import Sequence

from tumorml.results.tables import Verdict, VerdictRule

LONGEST_REASON = 300
GAINS = (
    "One rule of gain is enough to win. Macro F1 is the mean of the labels' F1, which misses and "
    "false alarms lower alike; McNemar's test counts the groups that were won and lost. All bounds "
    "are one-sided."
)
EXPLAINED = {
    ("f1_floor", "recall_floor", "calibration_ceiling"): "A floor or a ceiling is what any model "
    "must reach by itself: it stops broken models and says nothing of good ones.",
    ("golden_scans",): "Golden scans are validation scans whose answers training wrote down; the "
    "stored model has to repeat them.",
    (
        "recall_non_inferiority",
        "missed_tumor_non_inferiority",
        "calibration_non_inferiority",
    ): "Non-inferiority asks for proof of no harm: not the change but its bound must keep the "
    "margin.",
    ("anchor_non_inferiority",): "The anchor is the first champion of the task, or the newest that "
    "a person authorised: small losses may not add up.",
    ("slice_not_worse",): "slice_not_worse looks at small parts and passes unless harm is shown: "
    "it is an alarm, no proof that they are safe.",
}
"""What rules mean to somebody who reads of them for the first time."""


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
    """Whether a person was asked, who answered, and what."""
    if verdict.approval is None:
        return "No person was asked: the policy did not call for one."
    who = f" by {verdict.approval_by}" if verdict.approval_by else ""
    why = f", {verdict.approval_why}" if verdict.approval_why else ""
    return f"A person was asked, because {verdict.approval_reason}: {verdict.approval}{who}{why}."


def rules_explained(verdict: Verdict, rules: Sequence[VerdictRule]) -> list[str]:
    """What the rules of a verdict mean, and how they share one chance of error."""
    named = {rule.rule for rule in rules}
    said = [text for names, text in EXPLAINED.items() if named.intersection(names)]
    gains = [rule for rule in rules if rule.rule.startswith("gain_")]
    if gains:
        said.insert(0, GAINS)
    budget = next((rule.threshold for rule in rules if rule.rule == "look_budget"), None)
    if verdict.look is not None and verdict.look_alpha is not None and budget and gains:
        chance = verdict.look_alpha
        said.append(
            f"A look is one comparison on a test set; this was look {verdict.look} of {budget:.0f} "
            f"at {verdict.test_set_id}. All of them share one chance of {chance * budget:.3g} that "
            f"a model wins that is no better: each look has {chance:.3g}, each of its "
            f"{len(gains)} rules of gain {chance / len(gains):.3g}."
        )
    return said
