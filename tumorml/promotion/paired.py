"""How sure a change from champion to challenger is: paired, and by groups.

Everything comes from a bootstrap over groups that draws the same groups for both models. The bounds
of a share, such as a recall, are percentiles of its resampled changes: a challenger that wins one
large group is not held to be unsure of its losses. Those of other metrics, asked at chances of
error that percentiles of some thousand resamples cannot resolve, lie so many standard errors from
the change. Both reach as far as Student's t does with one degree of freedom less than there are
groups.
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
class Change:
    """A paired change and how sure it is; shares, not points.

    Attributes:
        new: The challenger's value.
        old: The champion's value.
        standard_error: Of their difference.
        groups: On which it rests.
        least_error: The standard error that is left when no answer changes at all.
        drawn: float64 [resamples], the resampled differences, where the bounds are percentiles.
    """

    new: float
    old: float
    standard_error: float
    groups: int
    least_error: float = 0.0
    drawn: NDArray[np.float64] | None = None

    @property
    def difference(self) -> float:
        """New minus old."""
        return self.new - self.old

    def low(self, confidence: float) -> float:
        """One-sided lower bound of the difference."""
        return self._bound(confidence, -1)

    def high(self, confidence: float) -> float:
        """One-sided upper bound of the difference."""
        return self._bound(confidence, +1)

    def _bound(self, confidence: float, side: int) -> float:
        reach = self._reach(confidence)
        if self.drawn is None or not np.isfinite(self.standard_error):
            return self.difference + side * reach * self.standard_error
        percentile = float(np.quantile(self.drawn, confidence if side > 0 else 1 - confidence))
        stretched = reach / float(normal.ppf(confidence))
        return self.difference + stretched * (percentile - self.difference)

    def cannot_rule_out(self, loss: float, confidence: float) -> bool:
        """Whether so few groups could not rule out this loss even if no answer had changed."""
        return self._reach(confidence) * self.least_error > loss

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

    Two imaginary groups of mean size take part in every resample, one won and one lost, so that
    agreement on a few groups does not look like certainty (after Agresti and Min, 2005,
    doi:10.1002/sim.1781).

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
    sums = np.stack([np.append(gained, [mean, -mean]), np.append(sizes, [mean, mean])], axis=1)
    drawn = np.concatenate(
        [
            weights @ sums
            for weights in draw_weights(len(sums), resamples, BOOTSTRAP_SEED, block=_BLOCK)
        ]
    )
    changes = drawn[:, 0] / drawn[:, 1]
    return Change(
        float(new.mean()),
        float(old.mean()),
        _spread(changes, len(names)),
        len(names),
        least_error=float(np.sqrt(2) / (len(names) + 2)),
        drawn=changes,
    )


def _spread(differences: NDArray[np.float64], groups: int) -> float:
    """The standard deviation of resampled differences; of a single group nothing is known."""
    drawn = differences[np.isfinite(differences)]
    return float(np.std(drawn, ddof=1)) if groups > 1 and len(drawn) > 1 else float("inf")
