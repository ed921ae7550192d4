"""The budget rule: number of looks, and the sum of their significance levels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.factories.contests import contest, packaged_policy
from tumorml.promotion.contest import Look
from tumorml.promotion.rules.look_budget import LOOK_BUDGET

ALPHA = 0.05 / 20


@pytest.mark.parametrize(
    ("number", "spent", "result"),
    [
        (1, 0.0, "passed"),
        (20, 19 * ALPHA, "passed"),
        (21, 20 * ALPHA, "insufficient"),
        (2, 0.05, "insufficient"),
    ],
)
def test_look_passes_within_number_and_alpha(number: int, spent: float, result: str) -> None:
    look = Look("t-four_class-1", number, ALPHA, spent)
    (row,) = LOOK_BUDGET.check(replace(contest(0.05, 0.15), look=look), packaged_policy())
    assert (row.rule, row.result) == ("look_budget", result)
    assert (row.challenger_value, row.threshold) == (number, 20)
    assert (row.scans, row.groups) == (4000, 4000)


def test_contest_without_a_look_leaves_no_row() -> None:
    assert LOOK_BUDGET.check(contest(0.05, 0.15), packaged_policy()) == []
