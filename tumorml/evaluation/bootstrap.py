"""The bootstrap over groups, without a loop over resamples.

A resample of groups is a row of counts; times the confusion counts of each group it is the
resample's confusion matrix, and every threshold-free metric follows from that. Two models drawn
with the same seed see the same resamples, which makes their difference a paired one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ConfusionResamples:
    """Confusion matrices of many resamples.

    Attributes:
        counts: float64 [resamples, classes, classes]; rows are true labels.
    """

    counts: NDArray[np.float64]

    def accuracy(self) -> NDArray[np.float64]:
        """[resamples]."""
        return _ratio(np.trace(self.counts, axis1=1, axis2=2), self.counts.sum(axis=(1, 2)))

    def recall(self) -> NDArray[np.float64]:
        """[resamples, classes]; not a number where a resample holds no scan of the class."""
        return self._of_those_there(_ratio(self._hits(), self.counts.sum(axis=2)))

    def precision(self) -> NDArray[np.float64]:
        """[resamples, classes]; 0 where nothing was predicted to be the class that is there."""
        return self._of_those_there(_ratio(self._hits(), self.counts.sum(axis=1)))

    def f1(self) -> NDArray[np.float64]:
        """[resamples, classes]; not a number where a resample holds no scan of the class."""
        both = self.counts.sum(axis=1) + self.counts.sum(axis=2)
        return self._of_those_there(_ratio(2 * self._hits(), both))

    def _of_those_there(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """A class that was not drawn says nothing of the model: left out, not counted as 0."""
        return np.where(self.counts.sum(axis=2) > 0, values, np.nan)

    def _hits(self) -> NDArray[np.float64]:
        return np.diagonal(self.counts, axis1=1, axis2=2)


def resample_confusions(
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    groups: Sequence[str],
    classes: int,
    resamples: int,
    seed: int,
) -> ConfusionResamples:
    """Confusion matrices of groups drawn with replacement.

    Args:
        truth: [n], class indices.
        predicted: [n], class indices.
        groups: n group ids.
        classes: Number of classes.
        resamples: How many.
        seed: The same seed and groups draw the same resamples.
    """
    _, member = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    number = int(member.max()) + 1 if len(member) else 0
    cells = np.zeros((number, classes * classes))
    np.add.at(cells, (member, truth * classes + predicted), 1)
    generator = np.random.default_rng(seed)
    counts = np.empty((resamples, classes * classes))
    block = max(1, min(resamples, 4_000_000 // max(number, 1)))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        draws = generator.integers(0, number, size=(size, number))
        offset = np.arange(size)[:, None] * number
        weights = np.bincount((draws + offset).ravel(), minlength=size * number)
        counts[start : start + size] = weights.reshape(size, number) @ cells
    return ConfusionResamples(counts.reshape(resamples, classes, classes))


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio = np.zeros_like(whole, dtype=np.float64)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
