"""What a verdict rests on: the same test scans, answered by all who are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from tumorml.evaluation.answers import Answers


@dataclass(frozen=True, slots=True)
class GoldenCheck:
    """How the stored artifact, loaded as the servers load it, repeats what training answered.

    Attributes:
        scans: How many golden scans it was asked about.
        largest_difference: Of a probability, absolute.
        latency_ms: Median of one scan, in milliseconds.
        problem: Why it could not be asked, or None.
    """

    scans: int
    largest_difference: float | None = None
    latency_ms: float | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Contest:
    """What the rules judge on.

    Attributes:
        groups: n group ids, of the test scans.
        challenger: Its answers about the n test scans.
        champion: The same of the champion, or None for the first model.
        anchor: The same of the anchor; None where it is the champion.
        slices: By name, bool [n]: parts of the test set to look at one by one.
        leaking: Test scans that the challenger's training data touches.
        golden: What the stored artifact answered.
        given_split: The challenger was trained on the split that its data set came with.
    """

    groups: Sequence[str]
    challenger: Answers
    champion: Answers | None
    anchor: Answers | None
    slices: Mapping[str, NDArray[np.bool_]]
    leaking: int
    golden: GoldenCheck
    given_split: bool

    @property
    def labels(self) -> Sequence[str]:
        """Names of the classes."""
        return self.challenger.labels

    @property
    def truth(self) -> NDArray[np.int64]:
        """int64 [n], class indices."""
        return self.challenger.known_truth

    def groups_of(self, chosen: NDArray[np.bool_]) -> list[str]:
        """The group ids of the chosen scans: bool [n]."""
        return list(compress(self.groups, chosen))

    def size(self, chosen: NDArray[np.bool_] | None = None) -> tuple[int, int]:
        """Scans and groups, of all or of the chosen."""
        part = self.groups if chosen is None else self.groups_of(chosen)
        return len(part), len(set(part))
