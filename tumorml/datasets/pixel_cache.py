"""Cache of decoded and resized scans, in append-only files.

Each size has two files under ``home/cache``: the pixels, one row per scan, and the scan ids, one
line per scan. A row is valid once its id is written, so rows of a killed process are overwritten.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tumorml.datasets.resize import PREPROCESSING, fit_to_square
from tumorml.objects import ObjectStore, object_store
from tumorml.objects.keys import mask_key, scan_key
from tumorml.scans.images.decode import decode
from tumorml.settings import Settings
from tumorml.timers import Interval

logger = logging.getLogger(__name__)

_LINE = 65
"""Length of a scan id and its newline, in bytes."""
_WINDOW = 256
"""Number of scans that are decoded before they are written."""
_LOG_SECONDS = 5.0


class CachedPixels:
    """Array uint8 [n, size, size] in a file; each access reads only the requested rows.

    It is not a memory map, because the pages that a map has read count as memory of the process.

    Attributes:
        shape: (n, size, size).
        dtype: uint8.
        ndim: 3.
    """

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __init__(self, path: Path, rows: NDArray[np.int64], size: int) -> None:
        self.shape = (len(rows), size, size)
        self._rows = rows
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the scans at a slice or at indices int64 [k], as uint8 [k, size, size]."""
        rows = self._rows[index]
        pixels = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for target, row in zip(pixels, rows, strict=True):
            read = os.preadv(self._descriptor, [target.data], int(row) * target.nbytes)
            if read != target.nbytes:
                raise OSError(f"row {row} of the pixel cache is incomplete")
        return pixels


def cached_pixels(
    settings: Settings, scan_ids: Sequence[str], size: int, *, masks: bool = False
) -> CachedPixels:
    """Return scans, or their masks, at ``size`` x ``size`` pixels; decode those not yet cached."""
    folder = settings.home / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    kind = "masks-" if masks else ""
    name = f"{kind}{size}px-{hashlib.sha256(PREPROCESSING.encode()).hexdigest()[:8]}"
    pixels, ids = folder / f"{name}.pixels", folder / f"{name}.ids"
    with _exclusive_lock(folder / f"{name}.lock"):
        known = _read_ids(ids, rows=_complete_rows(pixels, size))
        missing = [scan for scan in dict.fromkeys(scan_ids) if scan not in known]
        store, progress_log = object_store(settings), Interval(_LOG_SECONDS)
        with ThreadPoolExecutor(max_workers=4) as pool:
            for start in range(0, len(missing), _WINDOW):
                part = missing[start : start + _WINDOW]
                images = list(
                    pool.map(lambda scan: read_scan(store, scan, size, masks=masks), part)
                )
                _write_after(pixels, len(known), [image.tobytes() for image in images])
                _write_after(ids, len(known), [f"{scan}\n".encode() for scan in part])
                known.update(zip(part, range(len(known), len(known) + len(part)), strict=True))
                if progress_log.due():
                    noun = "masks" if masks else "scans"
                    logger.info("resized %s of %s %s", start + len(part), len(missing), noun)
    rows = np.array([known[scan] for scan in scan_ids], dtype=np.int64)
    return CachedPixels(pixels, rows, size)


def read_scan(
    store: ObjectStore, scan_id: str, size: int, *, masks: bool = False
) -> NDArray[np.uint8]:
    """Read a scan, or its mask, from the object store and resize it to uint8 [size, size]."""
    key = mask_key(scan_id) if masks else scan_key(scan_id)
    return fit_to_square(decode(store.read(key)).pixels, size)


def _complete_rows(path: Path, size: int) -> int:
    path.touch()
    return path.stat().st_size // size**2


def _read_ids(path: Path, *, rows: int) -> dict[str, int]:
    """Return the row of each cached scan; an incomplete last line is ignored."""
    data = path.read_bytes() if path.exists() else b""
    lines = range(0, len(data) - _LINE + 1, _LINE)[:rows]
    return {data[at : at + _LINE - 1].decode(): row for row, at in enumerate(lines)}


def _write_after(path: Path, count: int, records: Sequence[bytes]) -> None:
    """Keep the first ``count`` records, drop the others, and append records of the same length."""
    path.touch()
    with path.open("r+b") as file:
        file.truncate(count * len(records[0]))
        file.seek(0, os.SEEK_END)
        file.writelines(records)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _exclusive_lock(path: Path) -> Iterator[None]:
    """Hold an exclusive file lock, so that one process per machine runs the block at a time."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
