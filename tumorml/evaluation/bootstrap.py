"""The bootstrap over groups: how often each group is drawn.

Groups are drawn with replacement, whole (the cluster bootstrap: Field and Welsh, 2007,
doi:10.1111/j.1467-9868.2007.00593.x), because the slices of one patient are not independent
evidence. A resample is a row of integer weights, one for each group; what is computed from the
weights alone never needs the drawn scans themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_BLOCK_CELLS = 4_000_000


class GroupResamples:
    """Resamples of groups, in blocks; iterating again draws the same ones again.

    Attributes:
        member: int64 [n], the index of each scan's group.
        count: How many groups there are.
    """

    def __init__(self, groups: Sequence[str], *, resamples: int, seed: int) -> None:
        """Prepare to draw.

        Args:
            groups: n group ids.
            resamples: How many.
            seed: The same seed and groups draw the same resamples, whatever the size of a block.
        """
        names, member = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
        self.member: NDArray[np.int64] = member.astype(np.int64)
        self.count = len(names)
        self._resamples = resamples
        self._seed = seed

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Weights, uint8 [block, count]; each row sums to ``count``."""
        block = max(1, _BLOCK_CELLS // max(len(self.member), 1))
        yield from draw_weights(self.count, self._resamples, self._seed, block=block)


def draw_weights(
    count: int, resamples: int, seed: int, *, block: int
) -> Iterator[NDArray[np.uint8]]:
    """How often each of ``count`` groups is drawn: uint8 [at most ``block``, count] at a time.

    A byte is enough: of more than 255 groups, one is drawn more than 255 times in about one
    resample of 10^500.
    """
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, block):
        weights = np.empty((min(block, resamples - start), count), np.uint8)
        for row in weights:
            row[:] = np.bincount(generator.integers(0, count, size=count), minlength=count)
        yield weights
