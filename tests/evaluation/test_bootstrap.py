"""The bootstrap over groups: draws, seeds and block sizes."""

from __future__ import annotations

import numpy as np
import pytest

from tumorml.evaluation import bootstrap
from tumorml.evaluation.bootstrap import GroupResamples

GROUPS = [f"g{index // 3}" for index in range(99)]


def all_weights(drawn: GroupResamples) -> np.ndarray:
    return np.concatenate(list(drawn))


def test_resample_draws_as_many_groups_as_there_are() -> None:
    weights = all_weights(GroupResamples(GROUPS, resamples=500, seed=1))
    assert weights.shape == (500, 33)
    assert (weights.sum(axis=1) == 33).all()


def test_members_are_indices_of_sorted_groups() -> None:
    drawn = GroupResamples(["b", "a", "b", "c"], resamples=1, seed=0)
    assert drawn.count == 3
    assert drawn.member.tolist() == [1, 0, 1, 2]


def test_number_of_draws_of_a_group_is_binomial() -> None:
    weights = all_weights(GroupResamples(GROUPS, resamples=4_000, seed=2))
    assert weights.mean(axis=0) == pytest.approx(np.ones(33), abs=6 / np.sqrt(4_000))
    assert weights.var() == pytest.approx(1 - 1 / 33, rel=0.05)


@pytest.mark.parametrize("cells", [1, 99 * 7, 99 * 64])
def test_block_size_does_not_change_the_resamples(
    monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    drawn = GroupResamples(GROUPS, resamples=100, seed=3)
    one_block = list(drawn)
    assert len(one_block) == 1
    monkeypatch.setattr(bootstrap, "_BLOCK_CELLS", cells)
    blocks = list(drawn)
    assert len(blocks) > 1
    np.testing.assert_array_equal(np.concatenate(blocks), one_block[0])


def test_equal_seeds_draw_equal_resamples() -> None:
    first, second = (all_weights(GroupResamples(GROUPS, resamples=50, seed=7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_different_seeds_draw_independent_resamples() -> None:
    """Weights of all groups but one, because the last weight follows from the others."""
    one, other = (
        all_weights(GroupResamples(GROUPS, resamples=4_000, seed=seed))[:, :-1] for seed in (0, 1)
    )
    correlation = np.corrcoef(one.ravel(), other.ravel())[0, 1]
    assert abs(correlation) < 5 / np.sqrt(one.size)


def test_resamples_of_one_seed_are_independent() -> None:
    weights = all_weights(GroupResamples(GROUPS, resamples=4_000, seed=0))[:, :-1]
    correlation = np.corrcoef(weights[:-1].ravel(), weights[1:].ravel())[0, 1]
    assert abs(correlation) < 5 / np.sqrt(weights.size)


def test_blocks_of_100_000_groups_stay_small() -> None:
    groups = [str(index) for index in range(100_000)]
    blocks = list(GroupResamples(groups, resamples=50, seed=0))
    assert sum(len(block) for block in blocks) == 50
    assert max(block.size for block in blocks) <= 4_000_000
