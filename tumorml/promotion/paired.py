"""How sure a change from champion to challenger is: paired, and by groups.

Everything comes from a bootstrap over groups that draws the same groups for both models. The bounds
of a share, such as a recall, are percentiles of its resampled changes: a challenger that wins one
large group is not held to be unsure of its losses. Those of other metrics lie so many standard
errors from the change: a gain is asked at chances of error that percentiles of some thousand
resamples cannot resolve. Both reach as far as Student's t does with one degree of freedom less than
there are groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm as normal
from scipy.stats import t as student

from tumorml.evaluation.answers import Answers
from tumorml.evaluation.bootstrap import draw_weights
from tumorml.evaluation.measures import measure, resampled

BOOTSTRAP_SEED = 1
"""A fixed one: the same rows are judged alike whoever judges them again."""
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class DrawnShare:
    """Resampled changes of a share, each with one imaginary group among those that were drawn from.

    Attributes:
        with_a_loss: float64 [resamples], the imaginary group being lost.
        with_a_win: The same, but won.
        nothing_changed: The same with a loss, had no answer changed.
    """

    with_a_loss: NDArray[np.float64]
    with_a_win: NDArray[np.float64]
    nothing_changed: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Change:
    """A paired change and how sure it is; shares, not points.

    Attributes:
        new: The challenger's value.
        old: The champion's value.
        standard_error: Of their difference.
        groups: On which it rests.
        drawn: Of a share, what its bounds are percentiles of.
    """

    new: float
    old: float
    standard_error: float
    groups: int
    drawn: DrawnShare | None = None

    @property
    def difference(self) -> float:
        """New minus old."""
        return self.new - self.old

    def low(self, confidence: float) -> float:
        """One-sided lower bound of the difference."""
        if self.drawn is None or self.groups < 2:
            return self.difference - self._reach(confidence) * self.standard_error
        return self._percentile(self.drawn.with_a_loss, self.difference, 1 - confidence)

    def high(self, confidence: float) -> float:
        """One-sided upper bound of the difference."""
        if self.drawn is None or self.groups < 2:
            return self.difference + self._reach(confidence) * self.standard_error
        return self._percentile(self.drawn.with_a_win, self.difference, confidence)

    def cannot_rule_out(self, loss: float, confidence: float) -> bool:
        """Whether so few groups could not rule out this loss of a share had no answer changed."""
        if self.drawn is None or self.groups < 2:
            return True
        return self._percentile(self.drawn.nothing_changed, 0.0, 1 - confidence) < -loss

    def _percentile(self, drawn: NDArray[np.float64], difference: float, share: float) -> float:
        """A percentile, as much further from the difference as Student's t is from the normal."""
        confidence = max(share, 1 - share)
        stretch = self._reach(confidence) / float(normal.ppf(confidence))
        return difference + stretch * (float(np.quantile(drawn, share)) - difference)

    def _reach(self, confidence: float) -> float:
        return float(student.ppf(confidence, max(1, self.groups - 1)))


def changes_of(
    new: Answers, old: Answers, groups: Sequence[str], names: Sequence[str], *, resamples: int
) -> dict[str, Change]:
    """The change of each metric from one model to another on the same scans.

    Args:
        new: The challenger's answers.
        old: The answers of whom it is compared with.
        groups: The scans' group ids.
        names: Of metrics of the whole.
        resamples: Of the bootstrap.
    """
    if not names:
        return {}
    value, value_before = measure(new, names), measure(old, names)
    drawn, drawn_before = resampled(
        (new, old), groups, names, resamples=resamples, seed=BOOTSTRAP_SEED
    )
    count = len(set(groups))
    return {
        name: Change(
            float(value[name]),
            float(value_before[name]),
            _spread(drawn[name] - drawn_before[name], count),
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
    """The change of a share of right answers, such as a recall.

    An imaginary group of mean size stands among those that are drawn from, lost for the lower bound
    and won for the upper, so that agreement on a few groups does not look like certainty: the bound
    on the losses of n groups that lost nothing is about 3 / n, as it is exactly (Hanley and
    Lippman-Hand, 1983, doi:10.1001/jama.1983.03330370053031).

    Args:
        new: [n], whether the challenger is right.
        old: [n], whether the champion is right.
        groups: n group ids.
        resamples: Of the bootstrap.
    """
    names, member = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    sizes = np.bincount(member, minlength=len(names))
    gained = np.bincount(member, new.astype(float) - old, minlength=len(names))
    mean = float(sizes.mean())
    scans = np.append(sizes, mean)
    sums = np.stack([np.append(gained, -mean), np.append(gained, mean), scans], axis=1)
    alone = len(names)
    drawn = np.concatenate(
        [
            np.column_stack([weights @ sums, weights[:, alone] * -mean])
            for weights in draw_weights(len(scans), resamples, BOOTSTRAP_SEED, block=_BLOCK)
        ]
    )
    with_a_loss, with_a_win, nothing_changed = (drawn[:, [0, 1, 3]] / drawn[:, [2]]).T
    return Change(
        float(new.mean()),
        float(old.mean()),
        _spread((with_a_loss + with_a_win) / 2, alone),
        alone,
        DrawnShare(with_a_loss, with_a_win, nothing_changed),
    )


def _spread(differences: NDArray[np.float64], groups: int) -> float:
    """The standard deviation of resampled differences; of a single group nothing is known."""
    drawn = differences[np.isfinite(differences)]
    return float(np.std(drawn, ddof=1)) if groups > 1 and len(drawn) > 1 else float("inf")
