"""The gate's rules: each looks at the same answers and leaves its numbers."""

from tumorml.promotion.rules.apply import apply_rules
from tumorml.promotion.rules.outcome import outcome_of
from tumorml.promotion.rules.result import RuleResult

__all__ = ["RuleResult", "apply_rules", "outcome_of"]
