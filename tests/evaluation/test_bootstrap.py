"""Groups are drawn with replacement, the same for the same seed, in blocks that stay small."""

from __future__ import annotations

import numpy as np
import pytest

from tumorml.evaluation import bootstrap
from tumorml.evaluation.bootstrap import GroupResamples

GROUPS = [f"g{index // 3}" for index in range(99)]


def all_of(drawn: GroupResamples) -> np.ndarray:
    return np.concatenate(list(drawn))


def test_a_resample_draws_as_many_groups_as_there_are() -> None:
    weights = all_of(GroupResamples(GROUPS, resamples=500, seed=1))
    assert weights.shape == (500, 33)
    assert (weights.sum(axis=1) == 33).all()


def test_a_scan_counts_as_often_as_its_group() -> None:
    drawn = GroupResamples(["b", "a", "b", "c"], resamples=1, seed=0)
    assert drawn.count == 3
    assert drawn.member[0] == drawn.member[2]
    assert len(set(drawn.member.tolist())) == 3


def test_how_often_a_group_is_drawn_is_binomial() -> None:
    weights = all_of(GroupResamples(GROUPS, resamples=4_000, seed=2))
    assert weights.mean(axis=0) == pytest.approx(np.ones(33), abs=6 / np.sqrt(4_000))
    assert weights.var() == pytest.approx(1 - 1 / 33, rel=0.05)


@pytest.mark.parametrize("cells", [1, 99 * 7, 99 * 64])
def test_the_size_of_a_block_does_not_change_what_is_drawn(
    monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    drawn = GroupResamples(GROUPS, resamples=100, seed=3)
    whole = list(drawn)
    assert len(whole) == 1
    monkeypatch.setattr(bootstrap, "_BLOCK_CELLS", cells)
    blocks = list(drawn)
    assert len(blocks) > 1
    np.testing.assert_array_equal(np.concatenate(blocks), whole[0])


def test_another_seed_draws_other_groups() -> None:
    one, other = (all_of(GroupResamples(GROUPS, resamples=5, seed=seed)) for seed in (0, 1))
    assert (one != other).any()


def test_blocks_of_a_hundred_thousand_groups_stay_small() -> None:
    groups = [str(index) for index in range(100_000)]
    blocks = list(GroupResamples(groups, resamples=50, seed=0))
    assert sum(len(block) for block in blocks) == 50
    assert max(block.size for block in blocks) <= 4_000_000
