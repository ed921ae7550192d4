"""A model version's answers about a set of scans, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Answers:
    """One model version's answers about n scans.

    Attributes:
        scan_ids: n ids.
        labels: Names of the classes.
        probabilities: float32 [n, classes]; rows sum to one.
        predicted: int64 [n], predicted class indices: the most probable class, or the class that
            the operating point of a binary model assigns.
        truth: int64 [n], true class indices. None if they are not known.
    """

    scan_ids: Sequence[str]
    labels: Sequence[str]
    probabilities: NDArray[np.float32]
    predicted: NDArray[np.int64]
    truth: NDArray[np.int64] | None = None

    @property
    def known_truth(self) -> NDArray[np.int64]:
        """True class indices, int64 [n].

        Raises:
            ValueError: They are not known.
        """
        if self.truth is None:
            raise ValueError("the true labels of these scans are not known")
        return self.truth

    def select(self, chosen: NDArray[np.bool_]) -> Answers:
        """Return the answers about the chosen scans; ``chosen`` is bool [n]."""
        return Answers(
            scan_ids=list(compress(self.scan_ids, chosen)),
            labels=self.labels,
            probabilities=self.probabilities[chosen],
            predicted=self.predicted[chosen],
            truth=None if self.truth is None else self.truth[chosen],
        )
