"""The result of a rule: one row of a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tumorml.promotion.paired import Change

Result = Literal["passed", "failed", "insufficient"]


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The result of one rule on one slice, with its numbers.

    Values, differences and bounds of metrics are shares (0 to 1), not percentage points.

    Attributes:
        rule: Name of the result, as stored in ``verdict_rule.rule``.
        slice: ``all``, ``label=...``, or a slice of the test set such as ``site=Mainz``.
        result: ``insufficient`` where the test set is too small for a decision.
        explanation: The numbers and the condition in words.
        scans: Number of scans from which the result was computed.
        groups: Number of groups from which the result was computed.
        challenger_value: The challenger's value.
        champion_value: The champion's (or the anchor's) value.
        difference: Challenger minus champion.
        low: One-sided lower bound of the difference.
        high: One-sided upper bound of the difference.
        threshold: The value that the deciding number is compared with.
        confidence: Confidence of the one-sided bounds, 0.5 to 1.
        p_value: Of McNemar's exact test.
    """

    rule: str
    slice: str
    result: Result
    explanation: str
    scans: int
    groups: int
    challenger_value: float | None = None
    champion_value: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    confidence: float | None = None
    p_value: float | None = None


def result_of_change(
    change: Change,
    *,
    rule: str,
    slice_name: str,
    result: Result,
    explanation: str,
    size: tuple[int, int],
    threshold: float,
    confidence: float,
    p_value: float | None = None,
) -> RuleResult:
    """Make the result of a rule about a paired change.

    Args:
        change: The change from champion to challenger.
        rule: Name of the result.
        slice_name: The slice that was compared.
        result: The decision.
        explanation: The numbers and the condition in words.
        size: Numbers of scans and groups.
        threshold: The value that the deciding bound is compared with.
        confidence: Confidence of the one-sided bounds.
        p_value: Of McNemar's exact test.
    """
    scans, groups = size
    return RuleResult(
        rule,
        slice_name,
        result,
        explanation,
        scans,
        groups,
        challenger_value=change.new,
        champion_value=change.old,
        difference=change.difference,
        low=_finite_or_none(change.low(confidence)),
        high=_finite_or_none(change.high(confidence)),
        threshold=threshold,
        confidence=confidence,
        p_value=p_value,
    )


def describe_change(
    metric_name: str, change: Change, confidence: float, *, upper: bool = False
) -> str:
    """Describe a change in words, with its one-sided lower or upper bound; shares, not points."""
    bound = (
        f"at most {change.high(confidence):+.4f}"
        if upper
        else f"at least {change.low(confidence):+.4f}"
    )
    return (
        f"{metric_name} {change.old:.4f} -> {change.new:.4f}, a change of "
        f"{change.difference:+.4f}, {bound} with {100 * confidence:.6g} % confidence"
    )


def passed_if(condition: bool) -> Result:
    """Return ``passed`` or ``failed``."""
    return "passed" if condition else "failed"


def _finite_or_none(bound: float) -> float | None:
    return bound if abs(bound) < float("inf") else None
