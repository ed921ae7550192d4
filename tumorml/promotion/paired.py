"""Paired changes from champion to challenger, with bounds from a bootstrap over groups.

The bootstrap draws the same groups for both models. Bounds of a share, such as a recall, are
percentiles of its resampled changes, so that winning one large group does not lower the bound on
losses. Bounds of other metrics are the change plus or minus a multiple of its standard error,
because gains are tested at significance levels too small for percentiles of a few thousand
resamples. Both kinds are widened to Student's t distribution with one degree of freedom fewer than
there are groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tumorml.evaluation.answers import Answers
from tumorml.evaluation.bootstrap import draw_weights
from tumorml.evaluation.measures import measure, resampled

BOOTSTRAP_SEED = 1
"""Fixed, so that judging the same answers again gives the same numbers."""
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class ResampledShare:
    """Resampled changes of a share; the groups include one imaginary group of mean size.

    Attributes:
        with_lost_group: float64 [resamples], changes if the imaginary group is lost.
        with_won_group: float64 [resamples], changes if the imaginary group is won.
        unchanged_with_lost_group: float64 [resamples], changes if the imaginary group is lost and
            no real answer changed.
    """

    with_lost_group: NDArray[np.float64]
    with_won_group: NDArray[np.float64]
    unchanged_with_lost_group: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Change:
    """A paired change of a metric and its uncertainty; values are shares, not percentage points.

    Attributes:
        new: The challenger's value.
        old: The champion's value.
        standard_error: Standard error of the difference.
        groups: Number of groups from which the change was computed.
        resampled_share: For a share, the resampled changes whose percentiles are its bounds.
    """

    new: float
    old: float
    standard_error: float
    groups: int
    resampled_share: ResampledShare | None = None

    @property
    def difference(self) -> float:
        """The challenger's value minus the champion's."""
        return self.new - self.old

    def low(self, confidence: float) -> float:
        """Return the one-sided lower bound of the difference."""
        if self.resampled_share is None or self.groups < 2:
            return self.difference - self._student_quantile(confidence) * self.standard_error
        return self._percentile(
            self.resampled_share.with_lost_group, self.difference, 1 - confidence
        )

    def high(self, confidence: float) -> float:
        """Return the one-sided upper bound of the difference."""
        if self.resampled_share is None or self.groups < 2:
            return self.difference + self._student_quantile(confidence) * self.standard_error
        return self._percentile(self.resampled_share.with_won_group, self.difference, confidence)

    def cannot_rule_out(self, loss: float, confidence: float) -> bool:
        """Return True if there are too few groups to rule out this loss of a share.

        This is so if the lower bound would be below ``-loss`` even if no answer had changed.
        """
        if self.resampled_share is None or self.groups < 2:
            return True
        return (
            self._percentile(self.resampled_share.unchanged_with_lost_group, 0.0, 1 - confidence)
            < -loss
        )

    def _percentile(self, changes: NDArray[np.float64], difference: float, share: float) -> float:
        """Return a percentile, widened by the ratio of Student's t to the normal distribution."""
        from scipy.stats import norm

        confidence = max(share, 1 - share)
        widening = self._student_quantile(confidence) / float(norm.ppf(confidence))
        return difference + widening * (float(np.quantile(changes, share)) - difference)

    def _student_quantile(self, confidence: float) -> float:
        # Imported here because scipy.stats is slow to import, and reports need only the rules'
        # names and kinds.
        from scipy.stats import t

        return float(t.ppf(confidence, max(1, self.groups - 1)))


def changes_of(
    new: Answers, old: Answers, groups: Sequence[str], names: Sequence[str], *, resamples: int
) -> dict[str, Change]:
    """Return the change of each metric from one model to another on the same n scans.

    Args:
        new: The challenger's answers.
        old: The answers of the champion or the anchor.
        groups: n group ids.
        names: Names of metrics in ``OVERALL_METRICS``.
        resamples: Number of bootstrap resamples.
    """
    if not names:
        return {}
    new_values, old_values = measure(new, names), measure(old, names)
    new_resamples, old_resamples = resampled(
        (new, old), groups, names, resamples=resamples, seed=BOOTSTRAP_SEED
    )
    count = len(set(groups))
    return {
        name: Change(
            float(new_values[name]),
            float(old_values[name]),
            _standard_error(new_resamples[name] - old_resamples[name], count),
            count,
        )
        for name in names
    }


def change_of_share(
    new: NDArray[np.bool_],
    old: NDArray[np.bool_],
    groups: Sequence[str],
    *,
    resamples: int,
) -> Change:
    """Return the change of a share of right answers, such as a recall.

    One imaginary group of mean size is added before resampling: a lost group for the lower bound, a
    won group for the upper bound. Without it, two models that agree on a few groups would have
    bounds of zero width. With it, the bound on the loss of n groups without a loss is about 3 / n,
    which agrees with the exact bound (Hanley and Lippman-Hand, 1983,
    doi:10.1001/jama.1983.03330370053031).

    Args:
        new: bool [n], scans that the challenger answered right.
        old: bool [n], scans that the champion answered right.
        groups: n group ids.
        resamples: Number of bootstrap resamples.
    """
    names, member = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    sizes = np.bincount(member, minlength=len(names))
    gained = np.bincount(member, new.astype(float) - old, minlength=len(names))
    mean = float(sizes.mean())
    scans = np.append(sizes, mean)
    sums = np.stack([np.append(gained, -mean), np.append(gained, mean), scans], axis=1)
    count = imaginary_group = len(names)
    drawn = np.concatenate(
        [
            np.column_stack([weights @ sums, weights[:, imaginary_group] * -mean])
            for weights in draw_weights(len(scans), resamples, BOOTSTRAP_SEED, block=_BLOCK)
        ]
    )
    with_lost_group, with_won_group, unchanged_with_lost_group = (
        drawn[:, [0, 1, 3]] / drawn[:, [2]]
    ).T
    return Change(
        float(new.mean()),
        float(old.mean()),
        _standard_error((with_lost_group + with_won_group) / 2, count),
        count,
        ResampledShare(with_lost_group, with_won_group, unchanged_with_lost_group),
    )


def _standard_error(differences: NDArray[np.float64], groups: int) -> float:
    """Return the standard deviation of resampled differences; infinite for a single group."""
    drawn = differences[np.isfinite(differences)]
    return float(np.std(drawn, ddof=1)) if groups > 1 and len(drawn) > 1 else float("inf")
