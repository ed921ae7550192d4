"""The list of rules, and the page of the documentation that is generated from it."""

from __future__ import annotations

import re

import pytest

from tests.factories.contests import results_of
from tumorml.promotion.rules import RULES, Rule, RuleKind, kind_of
from tumorml.settings import PROJECT_ROOT

PAGE = PROJECT_ROOT / "docs/reference/promotion-rules.md"


def documented_rules() -> list[tuple[str, list[str], str]]:
    """Kind, result names and explanation of each row in the page's tables of rules."""
    text = PAGE.read_text(encoding="utf-8")
    kinds = {kind.value for kind in RuleKind}
    rules: list[tuple[str, list[str], str]] = []
    kind = ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
            kind = heading if heading in kinds else ""
        elif kind and line.startswith("| `"):
            names, explanation = line.strip("| ").split(" | ", maxsplit=1)
            rules.append((kind, re.findall(r"`(\w+)`", names), explanation))
    return rules


def test_documented_rules_are_the_rules_of_the_gate() -> None:
    expected = [
        (rule.kind.value, list(rule.result_names), rule.explanation)
        for kind in RuleKind
        for rule in RULES
        if rule.kind is kind
    ]
    assert documented_rules() == expected, "stale page: run `python docs/generate`"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_explanation_is_one_sentence(rule: Rule) -> None:
    assert re.fullmatch(r"[A-Z][^.]*\.", rule.explanation)


def test_result_names_belong_to_one_rule_each() -> None:
    names = [name for rule in RULES for name in rule.result_names]
    assert len(set(names)) == len(names)
    assert {kind_of(name) for name in names} == set(RuleKind)
    assert kind_of("a_rule_of_the_future") is None


def test_results_carry_only_declared_names_in_reading_order() -> None:
    results = results_of(0.05, 0.15)
    order = [name for rule in RULES for name in rule.result_names]
    positions = [order.index(result.rule) for result in results]
    assert positions == sorted(positions)
