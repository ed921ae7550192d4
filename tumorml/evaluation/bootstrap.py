"""The bootstrap over groups, as weights: how often each resample draws each group.

Whole groups are drawn with replacement (the cluster bootstrap: Field and Welsh, 2007,
doi:10.1111/j.1467-9868.2007.00593.x), because the slices of one patient are not independent
evidence. A resample is a row of integer weights, one for each group, so the drawn scans need not be
copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_BLOCK_CELLS = 4_000_000


class GroupResamples:
    """Resamples of groups, in blocks. Each iteration yields the same resamples.

    Attributes:
        member: int64 [n], the index of each scan's group.
        count: Number of groups.
    """

    def __init__(self, groups: Sequence[str], *, resamples: int, seed: int) -> None:
        """Index the groups.

        Args:
            groups: n group ids.
            resamples: Number of resamples.
            seed: Equal seeds and groups give equal resamples, whatever the block size.
        """
        names, member = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
        self.member: NDArray[np.int64] = member.astype(np.int64)
        self.count = len(names)
        self._resamples = resamples
        self._seed = seed

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Yield weights, uint8 [block, count]; each row sums to ``count``."""
        block = max(1, _BLOCK_CELLS // max(len(self.member), 1))
        yield from draw_weights(self.count, self._resamples, self._seed, block=block)


def draw_weights(
    count: int, resamples: int, seed: int, *, block: int
) -> Iterator[NDArray[np.uint8]]:
    """Yield how often each resample draws each group, in blocks of resamples.

    A byte is enough for a count: a group is drawn more than 255 times in about one of 10^500
    resamples.

    Args:
        count: Number of groups.
        resamples: Number of resamples.
        seed: Seed of the random numbers.
        block: Largest number of resamples in a block.

    Yields:
        uint8 [at most ``block``, count].
    """
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, block):
        weights = np.empty((min(block, resamples - start), count), np.uint8)
        for row in weights:
            row[:] = np.bincount(generator.integers(0, count, size=count), minlength=count)
        yield weights
