"""The pixels and labels of one split of a snapshot at one input size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tumorml.datasets.pixel_cache import CachedPixels, cached_pixels
from tumorml.datasets.snapshots import SnapshotEntry
from tumorml.settings import Settings


@dataclass(frozen=True, slots=True)
class SplitPixels:
    """The scans of one split, in order of scan id.

    Attributes:
        scan_ids: n ids.
        group_ids: n group ids.
        labels: int64 [n], class indices.
        images: uint8 [n, size, size], read from a file as they are asked for.
    """

    scan_ids: list[str]
    group_ids: list[str]
    labels: NDArray[np.int64]
    images: CachedPixels


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
    return SplitPixels(
        scan_ids,
        [e.group_id for e in chosen],
        np.array([labels.index(e.label) for e in chosen], dtype=np.int64),
        cached_pixels(settings, scan_ids, size),
    )
