"""Search for twins: scans of the same or nearly the same picture.

Twins may differ by re-encoding, resizing, padding, quarter turns and mirroring. A pair must pass
three filters. The first two compare fingerprints (``candidates``). The third aligns and correlates
the thumbnails (``likeness``), so each pair of twins is confirmed on pixels.

No filter is approximate, and none depends on the order in which scans arrive. The connected
components are therefore the same in any order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from tumorml.datasets.twins.candidates import Candidate, Catalogue, candidate_pairs
from tumorml.datasets.twins.crowds import Crowds
from tumorml.datasets.twins.likeness import Picture, likeness
from tumorml.results.twin_kinds import TwinKind
from tumorml.timers import Interval

logger = logging.getLogger(__name__)

MIN_LIKENESS = 0.87
"""Minimum score of twins. Pairs of different patients reach 0.79; copies seldom fall below 0.90."""
SAME_PICTURE_LIKENESS = 0.92
"""Minimum score of two scans that show one picture; below it they may be adjacent slices."""

_ROWS = 1_024
"""New scans in one block of the matrix product."""
_PAIRS_AT_ONCE = 256
_PICTURES_KEPT = 2_048
"""Pictures in memory; each takes about 160 kB for each orientation that was compared."""
_LOG_SECONDS = 5.0

Thumbnails = Callable[[Sequence[int]], Mapping[int, NDArray[np.uint8]]]
"""Function that returns the thumbnails, uint8 [height, width], of scans by catalogue index."""


@dataclass(frozen=True, slots=True)
class Twin:
    """Two scans that show the same or nearly the same picture.

    Attributes:
        first: Index of one scan.
        second: Index of the other scan, larger than ``first``.
        score: Mean local correlation of the aligned heads, 0.87 to 1.
        orientation: Orientation of the second scan that matches the first: 0 unchanged, 1 to 3
            quarter turns, 4 to 7 mirrored after 0 to 3 quarter turns.
    """

    first: int
    second: int
    score: float
    orientation: int

    @property
    def is_same_picture(self) -> bool:
        """Whether both scans show one picture; otherwise they may be adjacent slices."""
        return self.score >= SAME_PICTURE_LIKENESS

    @property
    def kind(self) -> TwinKind:
        """``REENCODED``, ``MIRRORED`` (or turned) or ``SIMILAR``."""
        if not self.is_same_picture:
            return TwinKind.SIMILAR
        return TwinKind.MIRRORED if self.orientation else TwinKind.REENCODED


def find_twins(
    catalogue: Catalogue,
    new: Sequence[int],
    thumbnails: Thumbnails,
    *,
    labels: Sequence[Hashable] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Twin]:
    """Find all pairs of twins that contain at least one new scan.

    Scans of one picture that already have many twins are not compared, unless their labels differ:
    ten thousand copies of one picture would otherwise take fifty million comparisons. The skipped
    pairs depend on the order of the scans; the connected components do not.

    Args:
        catalogue: All scans, including the new ones.
        new: Ascending indices of the new scans.
        thumbnails: Called for the thumbnails of candidate pairs.
        labels: A value for each scan of the catalogue, such as its label; see above.
        on_progress: Called with the number of new scans compared so far and their total.
    """
    crowds = Crowds(len(catalogue.ids), labels)
    pictures: dict[int, Picture] = {}
    twins: list[Twin] = []
    is_new = np.zeros(len(catalogue.ids), bool)
    is_new[np.asarray(new, np.int64)] = True
    progress_log, candidates = Interval(_LOG_SECONDS), 0
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(new), _ROWS):
            rows = np.asarray(new[start : start + _ROWS], np.int64)
            for pairs in _batches(candidate_pairs(catalogue, rows, is_new, crowds)):
                candidates += len(pairs)
                if len(pictures) > _PICTURES_KEPT:
                    pictures.clear()
                _load_pictures(pictures, pairs, thumbnails)
                for twin in pool.map(lambda pair: _confirm(pair, pictures), pairs):
                    if twin is not None:
                        twins.append(twin)
                        if twin.is_same_picture:
                            crowds.add(twin.first, twin.second)
            done = min(start + _ROWS, len(new))
            if on_progress is not None:
                on_progress(done, len(new))
            if progress_log.due():
                logger.info(
                    "compared %s of %s new scans: %s twins so far", done, len(new), len(twins)
                )
    logger.info("compared %s candidate pairs on pixels: %s are twins", candidates, len(twins))
    return twins


def _batches(pairs: Iterator[Candidate]) -> Iterator[list[Candidate]]:
    while batch := list(islice(pairs, _PAIRS_AT_ONCE)):
        yield batch


def _load_pictures(
    pictures: dict[int, Picture], pairs: Sequence[Candidate], thumbnails: Thumbnails
) -> None:
    missing = {i for pair in pairs for i in (pair.first, pair.second)} - pictures.keys()
    for index, thumbnail in thumbnails(sorted(missing)).items():
        pictures[index] = Picture(thumbnail)


def _confirm(pair: Candidate, pictures: Mapping[int, Picture]) -> Twin | None:
    """Compare the thumbnails of a candidate pair; None if they are not twins."""
    first, second = pictures[pair.first], pictures[pair.second]
    scores = [(likeness(first, second, o), -o) for o in pair.orientations]
    score, negative_orientation = max(scores)
    if score < MIN_LIKENESS:
        return None
    return Twin(pair.first, pair.second, score, -negative_orientation)
