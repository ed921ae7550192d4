"""Twins: scans that show the same picture, or nearly, whatever was done to the file in between.

Found in three sieves, each looking at what the one before let through:

1. keys (see ``tumorml.scans.fingerprint``) within a radius, by one exact matrix product of the new
   scans with all scans; a key knows no orientation;
2. grids within a radius in the most alike of their eight orientations;
3. thumbnails, aligned and correlated: a pair is confirmed on its pixels or not at all.

No sieve is approximate and none depends on the order in which scans came, so neither do the twins.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tumorml.datasets.alignment import Picture, likeness
from tumorml.scans.fingerprint import QUANTUM, oriented

logger = logging.getLogger(__name__)

LEAST_LIKENESS = 0.87
"""Pairs of different patients reach 0.79, copies of one picture seldom less than 0.90."""
SAME_PICTURE = 0.92
"""From here on two scans show one picture; below it may be the next slice."""

KEY_RADII = (0.22, 0.36)
GRID_RADII = (0.28, 0.45)
"""For the frames ``box`` and ``window``, in lengths of a grid (each grid has length 1)."""

_ORIENTATION_SLACK = 0.08
"""Orientations whose grids are this much worse than the best are looked at too, two at most."""
_ENOUGH_TWINS = 8
"""Scans with this many twins that are tied already are not compared with one another."""
_ROWS, _COLUMNS = 256, 65_536
_PAIRS_AT_ONCE = 256
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
    def kind(self) -> str:
        """``reencoded``, ``mirrored`` (or turned) or ``similar``."""
        if not self.same_picture:
            return "similar"
        return "mirrored" if self.orientation else "reencoded"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Keys and grids of n scans, in the order of their ids.

    Attributes:
        ids: n ids.
        keys: int8 [n, 2, 42].
        grids: int8 [n, 2, 8, 8].
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
    labels: Sequence[object] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Twin]:
    """Every pair of twins of which at least one scan is new.

    Among scans that are tied to one another through many twins already, further pairs are passed
    over, unless their labels differ: ten thousand copies of one picture are one group without fifty
    million comparisons.

    Args:
        catalogue: All scans, the new ones among them.
        new: Indices of the new ones, rising.
        thumbnails: Where the third sieve gets its pixels.
        labels: What each scan of the catalogue is said to show, if anything.
        on_progress: Called with the number of new scans that are compared, and their total.
    """
    tied = _Ties(len(catalogue.ids))
    pictures: dict[int, Picture] = {}
    twins: list[Twin] = []
    last, looked_at = time.monotonic(), 0
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(new), _ROWS):
            rows = np.asarray(new[start : start + _ROWS], np.int64)
            found = sorted(_candidates(catalogue, rows, np.asarray(new, np.int64)))
            # The most alike first, so that most of a crowd is tied before it is compared.
            for at in range(0, len(found), _PAIRS_AT_ONCE):
                pairs = [
                    pair
                    for pair in found[at : at + _PAIRS_AT_ONCE]
                    if not tied.enough(pair.first, pair.second)
                    or (labels is not None and labels[pair.first] != labels[pair.second])
                ]
                looked_at += len(pairs)
                _fetch(pictures, pairs, thumbnails)
                for twin in pool.map(lambda pair: _confirmed(pair, pictures), pairs):
                    if twin is not None:
                        twins.append(twin)
                        tied.tie(twin.first, twin.second)
            pictures.clear()
            done = min(start + _ROWS, len(new))
            if on_progress is not None:
                on_progress(done, len(new))
            if time.monotonic() - last >= _LOG_SECONDS:
                last = time.monotonic()
                logger.info("compared %s of %s scans, %s twins so far", done, len(new), len(twins))
    logger.info("%s pairs looked at on pixels, %s are twins", looked_at, len(twins))
    return twins


@dataclass(frozen=True, slots=True, order=True)
class _Candidate:
    distance: float
    first: int
    second: int
    orientations: tuple[int, ...]


def _candidates(
    catalogue: Catalogue, rows: NDArray[np.int64], new: NDArray[np.int64]
) -> Iterator[_Candidate]:
    """Pairs that pass the first two sieves, once each; of two new scans the smaller index asks."""
    is_new = np.zeros(len(catalogue.ids), bool)
    is_new[new] = True
    near: list[dict[int, None]] = [{} for _ in rows]
    for start in range(0, len(catalogue.ids), _COLUMNS):
        for frame, radius in enumerate(KEY_RADII):
            asked = catalogue.keys[rows, frame].astype(np.float32)
            stored = catalogue.keys[start : start + _COLUMNS, frame].astype(np.float32)
            # Small whole numbers: float32 holds every sum exactly.
            squares = (stored * stored).sum(axis=1) - 2 * (asked @ stored.T)
            limits = (radius * QUANTUM) ** 2 - (asked * asked).sum(axis=1)
            hits = np.nonzero(squares < limits[:, None])
            for row, column in zip(*(axis.tolist() for axis in hits), strict=True):
                near[row][start + column] = None
    for row, columns in zip(rows.tolist(), near, strict=True):
        others = np.fromiter(columns, np.int64, len(columns))
        others = others[(~is_new[others] & (others != row)) | (others > row)]
        yield from _alike(catalogue, row, others)


def _alike(catalogue: Catalogue, row: int, others: NDArray[np.int64]) -> Iterator[_Candidate]:
    """The second sieve: grids of one scan against those of some others."""
    if not len(others):
        return
    distances = np.empty((len(GRID_RADII), len(others), 8))
    for frame in range(len(GRID_RADII)):
        theirs = catalogue.grids[others, frame].reshape(len(others), -1).astype(np.float32)
        mine = catalogue.grids[row, frame].astype(np.float32)
        # Turning mine forward is turning theirs back.
        turned = np.stack([oriented(mine, _INVERSE[o]).ravel() for o in range(8)])
        squares = (
            (theirs * theirs).sum(axis=1)[:, None]
            + (turned * turned).sum(axis=1)
            - 2 * theirs @ turned.T
        )
        distances[frame] = np.sqrt(np.maximum(squares, 0)) / QUANTUM
    passed = (distances.min(axis=2) < np.array(GRID_RADII)[:, None]).any(axis=0)
    scaled = (distances / np.array(GRID_RADII)[:, None, None]).min(axis=0)
    for index in np.flatnonzero(passed).tolist():
        other = int(others[index])
        order = np.argsort(scaled[index], kind="stable")[:2]
        best = float(scaled[index, order[0]])
        chosen = [
            int(o) for o in order if scaled[index, o] <= best + _ORIENTATION_SLACK / min(GRID_RADII)
        ]
        if other < row:
            chosen = [_INVERSE[o] for o in chosen]
        yield _Candidate(round(best, 6), min(row, other), max(row, other), tuple(chosen))


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


class _Ties:
    """Which scans are tied through twins so far, and how many twins each has."""

    def __init__(self, count: int) -> None:
        self._parents = np.arange(count)
        self._twins: Counter[int] = Counter()

    def tie(self, first: int, second: int) -> None:
        self._twins[first] += 1
        self._twins[second] += 1
        self._parents[self._root(first)] = self._root(second)

    def enough(self, first: int, second: int) -> bool:
        """Whether another pair of these two would teach nothing."""
        return min(self._twins[first], self._twins[second]) >= _ENOUGH_TWINS and self._root(
            first
        ) == self._root(second)

    def _root(self, index: int) -> int:
        while self._parents[index] != index:
            self._parents[index] = index = int(self._parents[self._parents[index]])
        return index
