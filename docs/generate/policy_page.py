"""The page of promotion rules and policy keys, from ``tumorml.promotion.rules`` and the policy."""

from __future__ import annotations

from markdown import code, page, prose, table
from model_fields import field_rows, sections_of

from tumorml.policy import Policy
from tumorml.promotion.rules import RULES, RuleKind
from tumorml.settings import PROJECT_ROOT


def policy_page() -> str:
    """Return the page: the rules by kind, the keys of the policy, and the packaged policy."""
    parts = ["## Rules"]
    for kind in RuleKind:
        rows = [
            (", ".join(map(code, rule.result_names)), prose(rule.explanation))
            for rule in RULES
            if rule.kind is kind
        ]
        parts += [f"### {kind.value}", prose(kind.explanation), table(("rule", "passes if"), rows)]
    parts += ["## Keys of the policy"]
    head = ("key", "type", "meaning")
    parts += [table(head, [(key, kind, text) for key, kind, _, text in field_rows(Policy)])]
    for name, field in Policy.model_fields.items():
        for section in sections_of(field):
            rows = [(key, kind, text) for key, kind, _, text in field_rows(section)]
            parts += [f"### `[{name}]`", prose(section.__doc__), table(head, rows)]
    policy = (PROJECT_ROOT / "promotion.toml").read_text(encoding="utf-8").strip()
    parts += ["## The packaged policy", f"```toml\n{policy}\n```"]
    return page(
        "Promotion rules",
        "tumorml/promotion/rules, tumorml/policy.py and promotion.toml",
        "The rules of the promotion gate and the keys of its policy. "
        "[Promotion](../explanation/promotion.md) explains the statistics behind them.",
        *parts,
    )
