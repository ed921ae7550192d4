"""The pixels of one split at one input size, decoded and resized once, then memory-mapped."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tumorml.datasets.resize import fit_to_square
from tumorml.datasets.snapshots import SnapshotEntry
from tumorml.objects import ObjectStore, object_store
from tumorml.scans.decode import decode
from tumorml.scans.names import scan_key
from tumorml.settings import Settings

logger = logging.getLogger(__name__)

KEPT_CACHES = 12


@dataclass(frozen=True, slots=True)
class SplitPixels:
    """The scans of one split, in order of scan id.

    Attributes:
        scan_ids: n ids.
        group_ids: n group ids.
        labels: int64 [n], class indices.
        images: uint8 [n, size, size], memory-mapped, read-only.
    """

    scan_ids: list[str]
    group_ids: list[str]
    labels: NDArray[np.int64]
    images: NDArray[np.uint8]


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


def cached_pixels(settings: Settings, scan_ids: Sequence[str], size: int) -> NDArray[np.uint8]:
    """uint8 [n, size, size] of these scans, from a cache file under ``home`` or made now."""
    if not scan_ids:
        return np.zeros((0, size, size), dtype=np.uint8)
    digest = hashlib.sha256("\n".join(scan_ids).encode()).hexdigest()[:24]
    path = settings.home / "cache" / f"{size}px-{digest}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _prune(path.parent)
        partial = path.with_suffix(f".{os.getpid()}.part")
        shape = (len(scan_ids), size, size)
        images = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        for index, pixels in enumerate(resized_scans(object_store(settings), scan_ids, size)):
            images[index] = pixels
        images.flush()
        del images
        partial.replace(path)
    os.utime(path)
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]


def resized_scans(
    store: ObjectStore,
    scan_ids: Sequence[str],
    size: int,
) -> Iterator[NDArray[np.uint8]]:
    """Each scan as uint8 [size, size], in order, read by a few threads with bounded memory."""
    window, last = 256, time.monotonic()
    with ThreadPoolExecutor(max_workers=4) as pool:
        for start in range(0, len(scan_ids), window):
            part = scan_ids[start : start + window]
            yield from pool.map(lambda scan: read_scan(store, scan, size), part)
            if time.monotonic() - last > 5:
                last = time.monotonic()
                logger.info("resized %s of %s scans", start + len(part), len(scan_ids))


def read_scan(store: ObjectStore, scan_id: str, size: int) -> NDArray[np.uint8]:
    """One scan as uint8 [size, size]."""
    return fit_to_square(decode(store.read(scan_key(scan_id))).pixels, size)


def _prune(folder: Path) -> None:
    caches = sorted(folder.glob("*.npy"), key=lambda path: path.stat().st_mtime)
    for path in caches[:-KEPT_CACHES]:
        path.unlink(missing_ok=True)
