"""Pixels, masks and labels of one split of a snapshot, at one input size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tumorml.datasets.pixel_cache import CachedPixels, cached_pixels
from tumorml.datasets.snapshots import SnapshotEntry
from tumorml.labels import NO_TUMOR
from tumorml.settings import Settings


@dataclass(frozen=True, slots=True)
class SplitPixels:
    """The scans of one split, in order of scan id.

    Attributes:
        scan_ids: n ids.
        group_ids: n group ids.
        labels: int64 [n], class indices.
        images: uint8 [n, size, size], read from a file on access.
        masks: Tumor masks of the scans.
    """

    scan_ids: list[str]
    group_ids: list[str]
    labels: NDArray[np.int64]
    images: CachedPixels
    masks: Masks


@dataclass(frozen=True, slots=True)
class Masks:
    """Tumor masks of n scans, some of which may be unknown.

    Attributes:
        pixels: uint8 [k, size, size], 255 in the tumor.
        rows: int64 [n]: the row of each scan in ``pixels``; ``EMPTY`` for a scan without tumor;
            ``UNKNOWN`` for a scan whose tumor has no mask.
    """

    pixels: CachedPixels | NDArray[np.uint8]
    rows: NDArray[np.int64]

    EMPTY: ClassVar[int] = -1
    UNKNOWN: ClassVar[int] = -2

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all masks, (n, size, size)."""
        return (len(self.rows), *self.pixels.shape[1:])

    def __getitem__(self, scans: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the masks at indices int64 [b], as uint8 [b, size, size]; 0 if unknown."""
        rows = self.rows[scans]
        pixels = np.zeros((len(scans), *self.pixels.shape[1:]), np.uint8)
        pixels[rows >= 0] = self.pixels[rows[rows >= 0]]
        return pixels


def split_pixels(
    settings: Settings,
    entries: Sequence[SnapshotEntry],
    split: str,
    *,
    labels: Sequence[str],
    size: int,
) -> SplitPixels:
    """Return one split of a snapshot at ``size`` x ``size`` pixels.

    Args:
        settings: Settings of the store.
        entries: Entries of a snapshot.
        split: ``train``, ``validation`` or ``test``.
        labels: Labels of the task, in the order of class indices.
        size: Side of the square input, in pixels.
    """
    chosen = sorted((e for e in entries if e.split == split), key=lambda e: e.scan_id)
    scan_ids = [e.scan_id for e in chosen]
    masked = [e.scan_id for e in chosen if e.masked]
    row_of = {scan: row for row, scan in enumerate(masked)}
    rows = [
        row_of.get(e.scan_id, Masks.EMPTY if e.label == NO_TUMOR else Masks.UNKNOWN) for e in chosen
    ]
    return SplitPixels(
        scan_ids,
        [e.group_id for e in chosen],
        np.array([labels.index(e.label) for e in chosen], dtype=np.int64),
        cached_pixels(settings, scan_ids, size),
        Masks(cached_pixels(settings, masked, size, masks=True), np.array(rows, np.int64)),
    )
