"""Candidate twins: pairs of scans whose fingerprints pass the first two filters of the search.

1. Keys (see ``tumorml.scans.images.fingerprint``) within a radius, found by one exact matrix
   product of the new scans with all scans. A key does not depend on the orientation.
2. Grids that correlate in the best of their eight orientations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tumorml.datasets.twins.crowds import Crowds
from tumorml.scans.images.fingerprint import QUANTUM, oriented

KEY_RADII = (0.22, 0.36)
"""Maximum distance of two keys in the frames ``box`` and ``window``; each grid has length 1."""
MIN_GRID_CORRELATIONS = (0.90, 0.85)
"""Minimum correlation of two grids in the same frames; one frame is enough.

In a public set with patient ids, about 0.0007 % of the pairs of different patients pass.
"""
INVERSE_ORIENTATIONS = (0, 3, 2, 1, 4, 5, 6, 7)
"""The inverse of each orientation. A mirrored orientation is its own inverse."""

_ORIENTATION_SLACK = 0.05
"""Orientations whose correlation is this close to the best one are candidates too."""
_COLUMNS = 8_192
"""Stored scans in one block of the matrix product."""
_GRIDS_AT_ONCE = 4_096


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Fingerprints of n scans.

    Attributes:
        ids: n scan ids.
        keys: int8 [n, 2, 42].
        grids: int8 [n, 2, 16, 16].
    """

    ids: Sequence[str]
    keys: NDArray[np.int8]
    grids: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Two scans that may be twins.

    Attributes:
        first: Index of one scan in the catalogue.
        second: Index of the other scan, larger than ``first``.
        orientations: One or two orientations of the second scan, the most likely one first.
    """

    first: int
    second: int
    orientations: tuple[int, ...]


def candidate_pairs(
    catalogue: Catalogue, rows: NDArray[np.int64], is_new: NDArray[np.bool_], crowds: Crowds
) -> Iterator[Candidate]:
    """Yield the pairs of some new scans that pass both filters, each pair once.

    Args:
        catalogue: All scans.
        rows: int64 [r], ascending indices of the new scans to search for.
        is_new: bool [n], whether a scan is new. A pair of two new scans is yielded for the scan
            with the smaller index only.
        crowds: Pairs within a crowd are skipped.
    """
    hits = [
        (rows[flat // _COLUMNS], start + flat % _COLUMNS)
        for start, flat in pairs_with_near_keys(catalogue, rows)
    ]
    if not hits:
        return
    searching = np.concatenate([new for new, _ in hits])
    others = np.concatenate([other for _, other in hits])
    is_pair = (~is_new[others] & (others != searching)) | (others > searching)
    searching, others = searching[is_pair], others[is_pair]
    order = np.argsort(searching, kind="stable")
    searching, others = searching[order], others[order]
    firsts = np.searchsorted(searching, rows, side="left")
    ends = np.searchsorted(searching, rows, side="right")
    for row, first, end in zip(rows.tolist(), firsts, ends, strict=True):
        for start in range(first, end, _GRIDS_AT_ONCE):
            block = others[start : min(start + _GRIDS_AT_ONCE, end)]
            yield from _pairs_with_similar_grids(
                catalogue, row, block[crowds.must_compare(row, block)]
            )


def pairs_with_near_keys(
    catalogue: Catalogue, rows: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each block's start and its pairs with near keys, int64 [h], as row * 8192 + column."""
    queries, minima = [], []
    for frame, radius in enumerate(KEY_RADII):
        keys = catalogue.keys[rows, frame].astype(np.float32)
        queries.append(np.column_stack([2 * keys, np.ones(len(keys), np.float32)]))
        minima.append((keys * keys).sum(axis=1)[:, None] - (radius * QUANTUM) ** 2)
    for start in range(0, len(catalogue.ids), _COLUMNS):
        near: NDArray[np.bool_] | None = None
        for frame in range(len(KEY_RADII)):
            stored = catalogue.keys[start : start + _COLUMNS, frame].astype(np.float32)
            stored = np.column_stack([stored, -(stored * stored).sum(axis=1)])
            # |a - b|^2 <= r^2 as 2ab - b^2 >= a^2 - r^2. The values are small integers, so float32
            # holds every sum exactly.
            close = queries[frame] @ stored.T > minima[frame]
            near = close if near is None else np.logical_or(near, close, out=near)
        if near is not None and near.any():
            row, column = np.nonzero(near)
            yield start, row * _COLUMNS + column


def _pairs_with_similar_grids(
    catalogue: Catalogue, row: int, others: NDArray[np.int64]
) -> Iterator[Candidate]:
    """Yield the pairs of one scan with others whose grids correlate."""
    if not len(others):
        return
    margins = np.full((len(others), 8), -1.0, np.float32)
    for frame, minimum in enumerate(MIN_GRID_CORRELATIONS):
        other_grids = catalogue.grids[others, frame].reshape(len(others), -1).astype(np.float32)
        grid = catalogue.grids[row, frame].astype(np.float32)
        # Applying the inverse orientation to this grid equals orienting all the other grids.
        turned = np.stack([oriented(grid, INVERSE_ORIENTATIONS[o]).ravel() for o in range(8)])
        # einsum, because starting BLAS threads takes longer than so small a product.
        products = np.einsum("ij,kj->ik", other_grids, turned)
        np.maximum(margins, products / QUANTUM**2 - minimum, out=margins)
    best = margins.max(axis=1)
    for index in np.flatnonzero(best > 0).tolist():
        other = int(others[index])
        likely = np.argsort(-margins[index], kind="stable")[:2]
        chosen = [int(o) for o in likely if margins[index, o] >= best[index] - _ORIENTATION_SLACK]
        if other < row:
            chosen = [INVERSE_ORIENTATIONS[o] for o in chosen]
        yield Candidate(min(row, other), max(row, other), tuple(chosen))
