"""All rules of the gate, in reading order."""

from __future__ import annotations

from tumorml.policy import Policy
from tumorml.promotion.contest import Contest
from tumorml.promotion.rules.floors import (
    CALIBRATION_CEILING,
    F1_FLOOR,
    GOLDEN_LATENCY,
    RECALL_FLOOR,
)
from tumorml.promotion.rules.gain import GAIN
from tumorml.promotion.rules.integrity import GOLDEN_SCANS, LEAK_CHECK, OWN_SPLIT
from tumorml.promotion.rules.look_budget import LOOK_BUDGET
from tumorml.promotion.rules.non_inferiority import (
    ANCHOR_NON_INFERIORITY,
    CALIBRATION_NON_INFERIORITY,
    MISSED_TUMOR_NON_INFERIORITY,
    RECALL_NON_INFERIORITY,
)
from tumorml.promotion.rules.result import RuleResult
from tumorml.promotion.rules.rule import Rule, RuleKind
from tumorml.promotion.rules.slices import SLICE_NOT_WORSE

RULES: tuple[Rule, ...] = (
    LEAK_CHECK,
    OWN_SPLIT,
    GOLDEN_SCANS,
    GOLDEN_LATENCY,
    F1_FLOOR,
    RECALL_FLOOR,
    CALIBRATION_CEILING,
    GAIN,
    RECALL_NON_INFERIORITY,
    MISSED_TUMOR_NON_INFERIORITY,
    CALIBRATION_NON_INFERIORITY,
    ANCHOR_NON_INFERIORITY,
    SLICE_NOT_WORSE,
    LOOK_BUDGET,
)

_RULE_BY_RESULT_NAME = {name: rule for rule in RULES for name in rule.result_names}


def apply_rules(contest: Contest, policy: Policy) -> list[RuleResult]:
    """Check every rule, in reading order.

    A first model has no champion to be compared with, so only integrity rules and floors apply to
    it. The budget rule returns no result while ``contest.look`` is None.
    """
    return [
        result
        for rule in RULES
        if contest.champion is not None or not rule.kind.needs_champion
        for result in rule.check(contest, policy)
    ]


def kind_of(result_name: str) -> RuleKind | None:
    """Return the kind of the rule whose results have this name.

    Args:
        result_name: The name of a result, as stored in ``verdict_rule.rule``.

    Returns:
        The kind. None if no rule of this version has such results.
    """
    rule = _RULE_BY_RESULT_NAME.get(result_name)
    return None if rule is None else rule.kind
