"""Areas under the curves of one class against the rest, for many weightings of the groups."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CACHED_CELLS = 1 << 16


class Areas:
    """The area under the ROC curve and the average precision; tied scores are handled exactly.

    Scans are sorted by score once. For each weighting of the groups, two running sums are computed:
    one over the scans of the class, one over all other scans. Their values at the distinct scores
    of the class give both areas.

    Attributes:
        is_defined: True if there are scans of the class and others.
    """

    def __init__(
        self,
        positive: NDArray[np.bool_],
        scores: NDArray[np.float32],
        member: NDArray[np.int64],
    ) -> None:
        """Sort the scans.

        Args:
            positive: bool [n], scans of the class.
            scores: float32 [n], the model's probability of the class.
            member: int64 [n], the index of each scan's group.
        """
        self.is_defined = bool(positive.any() and not positive.all())
        by_score = np.argsort(-scores, kind="stable")
        of_class, others = by_score[positive[by_score]], by_score[~positive[by_score]]
        self._positives, self._negatives = member[of_class], member[others]
        thresholds, counts = np.unique(-scores[of_class], return_counts=True)
        self._reached = np.concatenate([[0], np.cumsum(counts)])
        self._above = np.searchsorted(-scores[others], thresholds, side="left")
        self._not_below = np.searchsorted(-scores[others], thresholds, side="right")

    def compute(
        self, weights: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute both areas for b weightings of the groups.

        Args:
            weights: uint8 [b, groups], how often each group counts.

        Returns:
            Area under the ROC curve and average precision, float64 [b] each; not a number where a
            weighting has no scan of the class, or no other scan.
        """
        roc, precision = np.empty(len(weights)), np.empty(len(weights))
        rows = max(1, _CACHED_CELLS // max(len(self._positives) + len(self._negatives), 1))
        for start in range(0, len(weights), rows):
            block = slice(start, start + rows)
            roc[block], precision[block] = self._compute_block(weights[block])
        return roc, precision

    def _compute_block(
        self, weights: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        hits = _running_sum(weights, self._positives).take(self._reached, axis=1)
        alarms = _running_sum(weights, self._negatives)
        positives, negatives = hits[:, -1].astype(float), alarms[:, -1].astype(float)
        gained, hits = np.diff(hits), hits[:, 1:]
        above, not_below = alarms.take(self._above, axis=1), alarms.take(self._not_below, axis=1)
        lost = np.einsum("bk,bk->b", gained, above + not_below, dtype=np.float64) / 2
        precision = np.einsum("bk,bk->b", gained, hits / np.maximum(hits + not_below, 1))
        defined = np.where(positives * negatives > 0, 1.0, np.nan)
        roc = defined - lost / np.maximum(positives * negatives, 1)
        return roc, defined * precision / np.maximum(positives, 1)


def _running_sum(weights: NDArray[np.uint8], member: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the running sums of weights along the members, from 0: int32 [b, 1 + m]."""
    sums = np.zeros((len(weights), 1 + len(member)), np.int32)
    np.cumsum(weights.take(member, axis=1), axis=1, dtype=np.int32, out=sums[:, 1:])
    return sums
