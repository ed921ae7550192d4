"""Areas under the curves of one class against the rest, for many weightings of the groups."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CACHED_CELLS = 1 << 16


class Areas:
    """The area under the ROC curve and the average precision, exact where scores are tied.

    Scans are sorted once. A weighting then costs two running sums, over the scans of the class and
    over the others, read where the scores of the class end.
    """

    def __init__(
        self,
        positive: NDArray[np.bool_],
        scores: NDArray[np.float32],
        member: NDArray[np.int64],
    ) -> None:
        """Sort the scans.

        Args:
            positive: [n], whether a scan is of the class.
            scores: [n], what the model gives the class.
            member: [n], the index of each scan's group.
        """
        self.answerable = bool(positive.any() and not positive.all())
        downwards = np.argsort(-scores, kind="stable")
        first, rest = downwards[positive[downwards]], downwards[~positive[downwards]]
        self._positives, self._negatives = member[first], member[rest]
        thresholds, counts = np.unique(-scores[first], return_counts=True)
        self._reached = np.concatenate([[0], np.cumsum(counts)])
        self._above = np.searchsorted(-scores[rest], thresholds, side="left")
        self._not_below = np.searchsorted(-scores[rest], thresholds, side="right")

    def of(self, weights: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Both areas: float64 [b] each; not a number without a scan of the class, or of the others.

        Args:
            weights: [b, groups], how often each group counts.
        """
        roc, precision = np.empty(len(weights)), np.empty(len(weights))
        rows = max(1, _CACHED_CELLS // max(len(self._positives) + len(self._negatives), 1))
        for start in range(0, len(weights), rows):
            block = slice(start, start + rows)
            roc[block], precision[block] = self._of_block(weights[block])
        return roc, precision

    def _of_block(
        self, weights: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        hits = _running_sum(weights, self._positives).take(self._reached, axis=1)
        alarms = _running_sum(weights, self._negatives)
        positives, negatives = hits[:, -1].astype(float), alarms[:, -1].astype(float)
        gained, hits = np.diff(hits), hits[:, 1:]
        above, not_below = alarms.take(self._above, axis=1), alarms.take(self._not_below, axis=1)
        lost = np.einsum("bk,bk->b", gained, above + not_below, dtype=np.float64) / 2
        precision = np.einsum("bk,bk->b", gained, hits / np.maximum(hits + not_below, 1))
        answerable = np.where(positives * negatives > 0, 1.0, np.nan)
        roc = answerable - lost / np.maximum(positives * negatives, 1)
        return roc, answerable * precision / np.maximum(positives, 1)


def _running_sum(weights: NDArray[np.uint8], member: NDArray[np.int64]) -> NDArray[np.int32]:
    """Int32 [b, 1 + m]: 0, then the sums of the weights of the first members."""
    sums = np.zeros((len(weights), 1 + len(member)), np.int32)
    np.cumsum(weights.take(member, axis=1), axis=1, dtype=np.int32, out=sums[:, 1:])
    return sums
