"""The pixels and labels of one split of a snapshot at one input size."""

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
        images: uint8 [n, size, size], read from a file as they are asked for.
        masks: of those scans that have one.
    """

    scan_ids: list[str]
    group_ids: list[str]
    labels: NDArray[np.int64]
    images: CachedPixels
    masks: Masks


@dataclass(frozen=True, slots=True)
class Masks:
    """Where the tumour lies in the scans of which that is known.

    Attributes:
        pixels: uint8 [k, size, size], 255 in the tumour.
        rows: int64 [n]: of each scan the row in ``pixels``, ``EMPTY`` where its label says that
            there is no tumour, ``UNKNOWN`` where nobody has drawn one.
    """

    pixels: CachedPixels | NDArray[np.uint8]
    rows: NDArray[np.int64]

    EMPTY: ClassVar[int] = -1
    UNKNOWN: ClassVar[int] = -2

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, size, size)."""
        return (len(self.rows), *self.pixels.shape[1:])

    def __getitem__(self, scans: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The masks of some scans, uint8 [b, size, size]; zeros where there is none."""
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
    """The pixels of one split of a snapshot's entries at ``size`` x ``size``."""
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
