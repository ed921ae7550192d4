"""Masks that a manifest names: each is stored under the id of its scan."""

from __future__ import annotations

import numpy as np

from tumorml.errors import TumorMLError
from tumorml.objects import ObjectStore
from tumorml.scans.decode import decode, encode_png
from tumorml.scans.names import mask_key
from tumorml.settings import Settings


class MaskPairs:
    """Brings masks and scans together, whichever of the two is read first.

    A stored mask is a PNG of the scan's size, 255 where the file is brighter than half of its
    brightest pixel, else 0. The first mask of a scan stays.
    """

    def __init__(self, store: ObjectStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._scans: dict[str, tuple[str, tuple[int, ...]]] = {}
        self._pending: dict[str, tuple[bytes, tuple[int, ...], list[str]]] = {}
        self.keys: dict[str, str] = {}
        """The key of the stored mask, by the path of the scan."""
        self.refused: dict[str, str] = {}
        """Why a mask is refused, by its path."""

    def add_scan(self, path: str, scan_id: str, shape: tuple[int, ...], mask: str) -> None:
        """A scan was decoded that has a mask."""
        self._scans[path] = (scan_id, shape)
        if mask in self._pending:
            self._store_for(mask, path)

    def add_mask(self, path: str, data: bytes, mask_of: tuple[str, ...]) -> None:
        """A mask was read that belongs to these scans."""
        try:
            pixels = decode(data, max_pixels=self._settings.max_scan_pixels, min_side=1).pixels
        except TumorMLError as error:
            self.refused[path] = str(error)
            return
        mask = np.where(pixels > pixels.max() / 2, 255, 0).astype(np.uint8)
        self._pending[path] = (encode_png(mask), mask.shape, list(mask_of))
        for scan in mask_of:
            if scan in self._scans:
                self._store_for(path, scan)

    def _store_for(self, mask: str, scan: str) -> None:
        png, shape, waiting = self._pending[mask]
        scan_id, scan_shape = self._scans[scan]
        waiting.remove(scan)
        if not waiting:
            del self._pending[mask]
        if shape != scan_shape:
            (height, width), (scan_height, scan_width) = shape, scan_shape
            self.refused[mask] = (
                f"The mask has {width} x {height} pixels and its scan {scan} has {scan_width} x "
                f"{scan_height}."
            )
            return
        self.keys[scan] = key = mask_key(scan_id)
        if not self._store.exists(key):
            self._store.write(key, png)
