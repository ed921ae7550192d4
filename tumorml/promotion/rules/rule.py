"""A rule of the promotion gate and the kinds of rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tumorml.policy import Policy
from tumorml.promotion.contest import Contest
from tumorml.promotion.rules.result import RuleResult


class RuleKind(StrEnum):
    """The purpose of a rule. It determines how a result affects the verdict's outcome."""

    INTEGRITY = "integrity"
    FLOOR = "floor"
    GAIN = "gain"
    NON_INFERIORITY = "non_inferiority"
    SLICE = "slice"
    BUDGET = "budget"

    @property
    def needs_champion(self) -> bool:
        """True if rules of this kind compare the challenger with a champion."""
        return self not in (RuleKind.INTEGRITY, RuleKind.FLOOR)

    @property
    def explanation(self) -> str:
        """An explanation of the rules of this kind for first-time readers."""
        return _KIND_EXPLANATIONS[self]


_KIND_EXPLANATIONS = {
    RuleKind.INTEGRITY: "Integrity rules check that the measured numbers are valid. Golden "
    "scans are validation scans whose probabilities were recorded during training; the stored "
    "model has to reproduce them.",
    RuleKind.FLOOR: "Floors, ceilings and limits apply to every model by itself, without a "
    "comparison. A model below them is unusable; a model that reaches them need not be good.",
    RuleKind.GAIN: "One passed gain rule is enough to win. Macro F1 is the mean of the labels' F1 "
    "scores; misses and false alarms both lower it. McNemar's test counts the groups that were won "
    "and lost. All bounds are one-sided.",
    RuleKind.NON_INFERIORITY: "Non-inferiority rules require evidence of no harm: the bound of a "
    "change, not the change itself, must stay within the margin. The anchor is the first champion "
    "of the task, or the newest one that a person authorized; comparing with it keeps small losses "
    "from adding up.",
    RuleKind.SLICE: "Slice rules check small parts of the test set and fail only if harm is shown. "
    "A passed slice rule does not prove that the part is safe.",
    RuleKind.BUDGET: "A look is one comparison on a test set. The policy limits the number of "
    "looks, because with many looks some model wins by chance.",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the gate.

    Attributes:
        name: Name in the documentation. The rule's results have the same name, unless
            ``result_names`` lists other names.
        kind: Purpose of the rule.
        explanation: One sentence: the condition under which the rule passes.
        check: Apply the rule. Returns one result for each slice that the rule compares, or no
            result where the rule does not apply. Rules whose kind needs a champion are called only
            with contests that have one.
        result_names: Names of the results (``verdict_rule.rule``). Defaults to ``name`` alone.
    """

    name: str
    kind: RuleKind
    explanation: str
    check: Callable[[Contest, Policy], list[RuleResult]]
    result_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Use the rule's name as the name of its results by default."""
        if not self.result_names:
            object.__setattr__(self, "result_names", (self.name,))
