"""Crowds: scans of one picture with so many twins that more pairs add no connection."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

_ENOUGH_TWINS = 8
"""Two scans of one picture are not compared once each has this many twins."""


class Crowds:
    """The connected components of scans that show one picture, with twins counted per scan.

    Only twins of the same picture form a crowd. Skipping a pair within a crowd therefore changes no
    connected component, whether all twins count or only twins of the same picture.

    Args:
        count: Number of scans.
        labels: A value for each scan. Pairs with different values are always compared.
            None: all are equal.
    """

    def __init__(self, count: int, labels: Sequence[Hashable] | None) -> None:
        self._parents = np.arange(count)
        self._twins = np.zeros(count, np.int32)
        codes: dict[Hashable, int] = {}
        values = labels if labels is not None else [None] * count
        self._labels = np.array([codes.setdefault(value, len(codes)) for value in values], np.int64)

    def add(self, first: int, second: int) -> None:
        """Record two scans, by index, as twins of the same picture."""
        self._twins[[first, second]] += 1
        first_root, second_root = self._roots(np.array([first, second])).tolist()
        self._parents[first_root] = second_root

    def must_compare(self, scan: int, others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether each pair of a scan with others, int64 [n], must be compared, bool [n]."""
        if self._twins[scan] < _ENOUGH_TWINS:
            return np.ones(len(others), bool)
        in_crowd = self._twins[others] >= _ENOUGH_TWINS
        in_crowd &= self._roots(others) == self._roots(np.array([scan]))
        return np.asarray(~in_crowd | (self._labels[others] != self._labels[scan]), np.bool_)

    def _roots(self, scans: NDArray[np.int64]) -> NDArray[np.int64]:
        roots = self._parents[scans]
        while (self._parents[roots] != roots).any():
            roots = self._parents[roots]
        self._parents[scans] = roots
        return roots
