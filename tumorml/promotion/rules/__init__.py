"""The rules of the promotion gate.

Each rule is one object of class ``Rule``. All rules judge the same contest. Their results, with
their numbers, are the rows of the verdict.
"""

from tumorml.promotion.rules.all_rules import RULES, apply_rules, kind_of
from tumorml.promotion.rules.look_budget import LOOK_BUDGET
from tumorml.promotion.rules.outcome import outcome_of
from tumorml.promotion.rules.result import RuleResult
from tumorml.promotion.rules.rule import Rule, RuleKind

__all__ = [
    "LOOK_BUDGET",
    "RULES",
    "Rule",
    "RuleKind",
    "RuleResult",
    "apply_rules",
    "kind_of",
    "outcome_of",
]
