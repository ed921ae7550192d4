"""The contest: all the evidence that the rules judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from tumorml.evaluation.answers import Answers
from tumorml.policy import Looks


@dataclass(frozen=True, slots=True)
class GoldenCheck:
    """The comparison of the stored model's answers about golden scans with the recorded ones.

    Attributes:
        scans: Number of golden scans that the model answered.
        largest_difference: Largest absolute difference of a probability. None if there is a
            problem.
        latency_ms: Median time for one scan, in milliseconds. None if there is a problem.
        problem: Why the stored model cannot be checked, or None.
    """

    scans: int
    largest_difference: float | None = None
    latency_ms: float | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """One comparison on a test set.

    Attributes:
        test_set_id: The version of the test set.
        number: Number of this look at that version, from 1.
        alpha: Significance level of this look.
        spent: Sum of the significance levels of the earlier looks.
    """

    test_set_id: str
    number: int
    alpha: float
    spent: float

    def is_allowed(self, looks: Looks) -> bool:
        """Return True if the policy's budget still covers this look."""
        return self.number <= looks.budget and self.spent + self.alpha <= looks.alpha * (1 + 1e-9)


@dataclass(frozen=True, slots=True)
class Contest:
    """The evidence about a challenger: the answers of all contenders about the same n test scans.

    Attributes:
        groups: n group ids of the test scans.
        challenger: The challenger's answers.
        champion: The champion's answers, or None for a first model.
        anchor: The anchor's answers, or None where the anchor is the champion.
        slices: bool [n] by name: parts of the test set that are judged one by one.
        leaking: Number of test scans that leak into the challenger's training data.
        golden: Result of the golden scans.
        given_split: True if the challenger was trained on a split that its data set came with.
        look: This contest's look at the test set. None without a champion, and until the look has
            its number.
    """

    groups: Sequence[str]
    challenger: Answers
    champion: Answers | None
    anchor: Answers | None
    slices: Mapping[str, NDArray[np.bool_]]
    leaking: int
    golden: GoldenCheck
    given_split: bool
    look: Look | None = None

    @property
    def labels(self) -> Sequence[str]:
        """Names of the classes."""
        return self.challenger.labels

    @property
    def truth(self) -> NDArray[np.int64]:
        """True class indices, int64 [n]."""
        return self.challenger.known_truth

    @property
    def known_champion(self) -> Answers:
        """The champion's answers.

        Raises:
            ValueError: There is no champion.
        """
        if self.champion is None:
            raise ValueError("this contest has no champion to compare with")
        return self.champion

    def groups_of(self, chosen: NDArray[np.bool_]) -> list[str]:
        """Return the group ids of the chosen scans; ``chosen`` is bool [n]."""
        return list(compress(self.groups, chosen))

    def size(self, chosen: NDArray[np.bool_] | None = None) -> tuple[int, int]:
        """Return the numbers of scans and groups, of all scans or of the chosen ones."""
        part = self.groups if chosen is None else self.groups_of(chosen)
        return len(part), len(set(part))
