"""What a model answered."""

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
        probabilities: float32 [n, classes], rows sum to one.
        predicted: int64 [n], class indices decided: the most probable class, or what the operating
            point of a binary model makes of the probabilities.
        truth: int64 [n], class indices, or None where nobody knows.
    """

    scan_ids: Sequence[str]
    labels: Sequence[str]
    probabilities: NDArray[np.float32]
    predicted: NDArray[np.int64]
    truth: NDArray[np.int64] | None = None

    @property
    def known_truth(self) -> NDArray[np.int64]:
        """The truth.

        Raises:
            ValueError: Nobody knows it.
        """
        if self.truth is None:
            raise ValueError("nobody knows the truth about these scans")
        return self.truth

    def of(self, chosen: NDArray[np.bool_]) -> Answers:
        """The answers about the chosen scans: bool [n]."""
        return Answers(
            scan_ids=list(compress(self.scan_ids, chosen)),
            labels=self.labels,
            probabilities=self.probabilities[chosen],
            predicted=self.predicted[chosen],
            truth=None if self.truth is None else self.truth[chosen],
        )
