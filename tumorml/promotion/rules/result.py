"""One row of a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tumorml.promotion.paired import Change

Result = Literal["passed", "failed", "insufficient"]


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One rule's outcome with its numbers; values are shares (0 to 1), not points."""

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
    """Of the one-sided bounds."""
    p_value: float | None = None


def rule_about(
    change: Change,
    *,
    rule: str,
    where: str,
    result: Result,
    explanation: str,
    size: tuple[int, int],
    threshold: float,
    confidence: float,
    p_value: float | None = None,
) -> RuleResult:
    """The row of a rule that looks at a paired change; ``size``: its scans and groups."""
    scans, groups = size
    return RuleResult(
        rule,
        where,
        result,
        explanation,
        scans,
        groups,
        challenger_value=change.new,
        champion_value=change.old,
        difference=change.difference,
        low=_finite(change.low(confidence)),
        high=_finite(change.high(confidence)),
        threshold=threshold,
        confidence=confidence,
        p_value=p_value,
    )


def told_change(called: str, change: Change, confidence: float, *, upper: bool = False) -> str:
    """A change in words, with its one-sided lower or upper bound; shares, not points."""
    bound = (
        f"at most {change.high(confidence):+.4f}"
        if upper
        else f"at least {change.low(confidence):+.4f}"
    )
    return (
        f"{called} {change.old:.4f} -> {change.new:.4f}, a change of {change.difference:+.4f}, "
        f"{bound} with {100 * confidence:.6g} % confidence"
    )


def passed_if(condition: bool) -> Result:
    """``passed`` or ``failed``."""
    return "passed" if condition else "failed"


def _finite(bound: float) -> float | None:
    return bound if abs(bound) < float("inf") else None
