"""Paired changes: standard errors and bounds from a bootstrap over groups."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from tumorml.promotion.paired import Change, change_of_share


def single_groups(count: int) -> list[str]:
    return [str(index) for index in range(count)]


def test_more_agreement_makes_a_smaller_standard_error() -> None:
    generator = np.random.default_rng(2)
    old = generator.random(600) < 0.9
    few, many = (
        change_of_share(
            np.where(generator.random(600) < share, ~old, old),
            old,
            single_groups(600),
            resamples=500,
        )
        for share in (0.01, 0.2)
    )
    assert 2 * few.standard_error < many.standard_error


def test_groups_that_change_together_make_a_larger_error() -> None:
    new, old = np.arange(600) >= 60, np.ones(600, bool)
    grouped, single = (
        change_of_share(new, old, groups, resamples=500)
        for groups in ([str(index // 30) for index in range(600)], single_groups(600))
    )
    assert grouped.difference == single.difference == pytest.approx(-0.1)
    assert grouped.standard_error > 3 * single.standard_error


@pytest.mark.parametrize("count", [80, 120, 200, 500])
@pytest.mark.parametrize("size", [1, 3])
def test_loss_of_the_margin_passes_in_one_look_of_twenty(count: int, size: int) -> None:
    """Exact: whole groups are lost, none is won, and the bound is computed for each number."""
    groups = [str(index // size) for index in range(count * size)]
    old = np.ones(len(groups), bool)

    def passes(lost: int) -> bool:
        new = np.arange(len(groups)) >= lost * size
        return change_of_share(new, old, groups, resamples=2000).low(0.95) >= -0.025

    allowed = next(lost for lost in range(count) if not passes(lost)) - 1
    assert binom.cdf(allowed, count, 0.025) <= 0.06


@pytest.mark.parametrize("count", [40, 80, 110, 130, 300])
def test_unchanged_answers_rule_out_a_loss_only_in_many_groups(count: int) -> None:
    old = np.ones(count, bool)
    change = change_of_share(old, old, single_groups(count), resamples=2000)
    passed = change.low(0.95) >= -0.025
    assert passed == (count > 120)
    assert change.cannot_rule_out(0.025, 0.95) == (not passed)


def test_one_large_won_group_adds_no_doubt_about_losses() -> None:
    groups = ["crowd"] * 100 + single_groups(200)
    old = np.arange(300) >= 60
    change = change_of_share(np.ones(300, bool), old, groups, resamples=400)
    assert change.low(0.95) > -0.02


def test_few_groups_widen_the_bounds_as_student_t_does() -> None:
    few, many = (Change(0.9, 0.9, 0.01, groups) for groups in (4, 4000))
    assert few.low(0.95) == pytest.approx(-0.01 * 2.353, rel=1e-3)
    assert many.low(0.95) == pytest.approx(-0.01 * 1.645, rel=1e-3)
    assert few.high(0.95) == pytest.approx(0.01 * 2.353, rel=1e-3)
