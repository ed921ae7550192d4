"""Twins: scans that show the same picture, or nearly, whatever was done to the file in between.

Found in three sieves, each looking at what the one before let through:

1. keys (see ``tumorml.scans.images.fingerprint``) within a radius, by one exact matrix product of
   the new scans with all scans; a key knows no orientation;
2. grids that correlate in the most alike of their eight orientations;
3. thumbnails, aligned and correlated: a pair is confirmed on its pixels or not at all.

No sieve is approximate and none depends on the order in which scans came, so neither does what is
tied to what.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from tumorml.datasets.twins.alignment import Picture, likeness
from tumorml.results.twin_kinds import TwinKind
from tumorml.scans.images.fingerprint import QUANTUM, oriented
from tumorml.timers import Interval

logger = logging.getLogger(__name__)

LEAST_LIKENESS = 0.87
"""Pairs of different patients reach 0.79, copies of one picture seldom less than 0.90."""
SAME_PICTURE = 0.92
"""From here on two scans show one picture; below it may be the next slice."""

KEY_RADII = (0.22, 0.36)
"""For the frames ``box`` and ``window``, in lengths of a grid (each grid has length 1)."""
LEAST_CORRELATIONS = (0.90, 0.85)
"""Of two grids, for the same frames; one is enough. On a public set with patient ids some 0.0007 %
of the pairs of different patients pass."""

_ORIENTATION_SLACK = 0.05
"""Orientations in which grids correlate this much less than in the best are looked at too."""
_ENOUGH_TWINS = 8
"""Scans of one picture with this many twins each are not compared with one another."""
_ROWS, _COLUMNS = 1_024, 8_192
_GRIDS_AT_ONCE, _PAIRS_AT_ONCE = 4_096, 256
_PICTURES_KEPT = 2_048
"""Of some 160 kB for each orientation that was looked at."""
_LOG_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Twin:
    """Two scans that show the same picture, or nearly.

    Attributes:
        first: Index of one scan.
        second: Index of the other, larger.
        score: Mean local correlation of the aligned heads, 0.87 to 1.
        orientation: How the second is turned to lie on the first: 0 as it is, 1 to 3 quarter turns,
            4 to 7 mirrored after 0 to 3 quarter turns.
    """

    first: int
    second: int
    score: float
    orientation: int

    @property
    def same_picture(self) -> bool:
        """Whether both show one picture; otherwise it may be the neighbouring slice."""
        return self.score >= SAME_PICTURE

    @property
    def kind(self) -> TwinKind:
        """``reencoded``, ``mirrored`` (or turned) or ``similar``."""
        if not self.same_picture:
            return TwinKind.SIMILAR
        return TwinKind.MIRRORED if self.orientation else TwinKind.REENCODED


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Keys and grids of n scans, in the order of their ids.

    Attributes:
        ids: n ids.
        keys: int8 [n, 2, 42].
        grids: int8 [n, 2, 16, 16].
    """

    ids: Sequence[str]
    keys: NDArray[np.int8]
    grids: NDArray[np.int8]


Thumbnails = Callable[[Sequence[int]], Mapping[int, NDArray[np.uint8]]]
"""Thumbnails of the scans at these indices."""


def find_twins(
    catalogue: Catalogue,
    new: Sequence[int],
    thumbnails: Thumbnails,
    *,
    labels: Sequence[Hashable] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Twin]:
    """Every pair of twins of which at least one scan is new.

    Among scans that show one picture and have many twins already, further pairs are passed over,
    unless their labels differ: ten thousand copies of one picture are one group without fifty
    million comparisons. Which pairs those are depends on the order; what is tied does not.

    Args:
        catalogue: All scans, the new ones among them.
        new: Indices of the new ones, rising.
        thumbnails: Where the third sieve gets its pixels.
        labels: What each scan of the catalogue is said to show, if anything.
        on_progress: Called with the number of new scans that are compared, and their total.
    """
    crowd = _Crowds(len(catalogue.ids), labels)
    pictures: dict[int, Picture] = {}
    twins: list[Twin] = []
    is_new = np.zeros(len(catalogue.ids), bool)
    is_new[np.asarray(new, np.int64)] = True
    progress_log, looked_at = Interval(_LOG_SECONDS), 0
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(new), _ROWS):
            rows = np.asarray(new[start : start + _ROWS], np.int64)
            for pairs in _batches(_candidates(catalogue, rows, is_new, crowd)):
                looked_at += len(pairs)
                if len(pictures) > _PICTURES_KEPT:
                    pictures.clear()
                _fetch(pictures, pairs, thumbnails)
                for twin in pool.map(lambda pair: _confirmed(pair, pictures), pairs):
                    if twin is not None:
                        twins.append(twin)
                        crowd.add(twin)
            done = min(start + _ROWS, len(new))
            if on_progress is not None:
                on_progress(done, len(new))
            if progress_log.due():
                logger.info("compared %s of %s scans, %s twins so far", done, len(new), len(twins))
    logger.info("%s pairs looked at on pixels, %s are twins", looked_at, len(twins))
    return twins


@dataclass(frozen=True, slots=True)
class _Candidate:
    first: int
    second: int
    orientations: tuple[int, ...]


def _batches(pairs: Iterator[_Candidate]) -> Iterator[list[_Candidate]]:
    while batch := list(islice(pairs, _PAIRS_AT_ONCE)):
        yield batch


def _candidates(
    catalogue: Catalogue, rows: NDArray[np.int64], is_new: NDArray[np.bool_], crowd: _Crowds
) -> Iterator[_Candidate]:
    """Pairs that pass the first two sieves, once each; of two new scans the smaller index asks."""
    found = [
        (rows[hits // _COLUMNS], start + hits % _COLUMNS) for start, hits in _near(catalogue, rows)
    ]
    if not found:
        return
    asking = np.concatenate([asked for asked, _ in found])
    others = np.concatenate([stored for _, stored in found])
    kept = (~is_new[others] & (others != asking)) | (others > asking)
    asking, others = asking[kept], others[kept]
    order = np.argsort(asking, kind="stable")
    asking, others = asking[order], others[order]
    bounds = np.searchsorted(asking, rows, side="left"), np.searchsorted(asking, rows, side="right")
    for row, first, last in zip(rows.tolist(), *bounds, strict=True):
        for at in range(first, last, _GRIDS_AT_ONCE):
            some = others[at : min(at + _GRIDS_AT_ONCE, last)]
            yield from _alike(catalogue, row, some[crowd.worthwhile(row, some)])


def _near(catalogue: Catalogue, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The first sieve, block by block: its start, and row * 8192 + column of each hit in it."""
    asked, least = [], []
    for frame, radius in enumerate(KEY_RADII):
        keys = catalogue.keys[rows, frame].astype(np.float32)
        asked.append(np.column_stack([2 * keys, np.ones(len(keys), np.float32)]))
        least.append((keys * keys).sum(axis=1)[:, None] - (radius * QUANTUM) ** 2)
    for start in range(0, len(catalogue.ids), _COLUMNS):
        near: NDArray[np.bool_] | None = None
        for frame in range(len(KEY_RADII)):
            stored = catalogue.keys[start : start + _COLUMNS, frame].astype(np.float32)
            stored = np.column_stack([stored, -(stored * stored).sum(axis=1)])
            # Small whole numbers: float32 holds every sum exactly.
            close = asked[frame] @ stored.T > least[frame]
            near = close if near is None else np.logical_or(near, close, out=near)
        if near is not None and near.any():
            row, column = np.nonzero(near)
            yield start, row * _COLUMNS + column


def _alike(catalogue: Catalogue, row: int, others: NDArray[np.int64]) -> Iterator[_Candidate]:
    """The second sieve: grids of one scan against those of some others."""
    if not len(others):
        return
    margins = np.full((len(others), 8), -1.0, np.float32)
    for frame, least in enumerate(LEAST_CORRELATIONS):
        theirs = catalogue.grids[others, frame].reshape(len(others), -1).astype(np.float32)
        mine = catalogue.grids[row, frame].astype(np.float32)
        # Turning mine back is turning theirs forward.
        turned = np.stack([oriented(mine, _INVERSE[o]).ravel() for o in range(8)])
        # So small a product is done before threads of a BLAS have met.
        products = np.einsum("ij,kj->ik", theirs, turned)
        np.maximum(margins, products / QUANTUM**2 - least, out=margins)
    best = margins.max(axis=1)
    for index in np.flatnonzero(best > 0).tolist():
        other = int(others[index])
        likely = np.argsort(-margins[index], kind="stable")[:2]
        chosen = [int(o) for o in likely if margins[index, o] >= best[index] - _ORIENTATION_SLACK]
        if other < row:
            chosen = [_INVERSE[o] for o in chosen]
        yield _Candidate(min(row, other), max(row, other), tuple(chosen))


_INVERSE = (0, 3, 2, 1, 4, 5, 6, 7)
"""The orientation that undoes another: quarter turns go back, mirrors undo themselves."""


def _fetch(
    pictures: dict[int, Picture], pairs: Sequence[_Candidate], thumbnails: Thumbnails
) -> None:
    missing = {i for pair in pairs for i in (pair.first, pair.second)} - pictures.keys()
    for index, thumbnail in thumbnails(sorted(missing)).items():
        pictures[index] = Picture(thumbnail)


def _confirmed(pair: _Candidate, pictures: Mapping[int, Picture]) -> Twin | None:
    """The third sieve."""
    first, second = pictures[pair.first], pictures[pair.second]
    scores = [(likeness(first, second, o), -o) for o in pair.orientations]
    score, orientation = max(scores)
    if score < LEAST_LIKENESS:
        return None
    return Twin(pair.first, pair.second, score, -orientation)


class _Crowds:
    """Which scans show one picture so far, and how many twins of it each has.

    Only what shows one picture makes a crowd: so passing over a pair within one takes nothing away
    from the connected components, be it of twins of any kind or of one picture.
    """

    def __init__(self, count: int, labels: Sequence[Hashable] | None) -> None:
        self._parents = np.arange(count)
        self._twins = np.zeros(count, np.int32)
        codes: dict[Hashable, int] = {}
        said = labels if labels is not None else [None] * count
        self._labels = np.array([codes.setdefault(label, len(codes)) for label in said], np.int64)

    def add(self, twin: Twin) -> None:
        if twin.same_picture:
            self._twins[[twin.first, twin.second]] += 1
            first, second = self._roots(np.array([twin.first, twin.second])).tolist()
            self._parents[first] = second

    def worthwhile(self, scan: int, others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Of which of some others a pair with this scan may teach something; bool [others]."""
        if self._twins[scan] < _ENOUGH_TWINS:
            return np.ones(len(others), bool)
        known = self._twins[others] >= _ENOUGH_TWINS
        known &= self._roots(others) == self._roots(np.array([scan]))
        return np.asarray(~known | (self._labels[others] != self._labels[scan]), np.bool_)

    def _roots(self, scans: NDArray[np.int64]) -> NDArray[np.int64]:
        roots = self._parents[scans]
        while (self._parents[roots] != roots).any():
            roots = self._parents[roots]
        self._parents[scans] = roots
        return roots
