"""Store the masks that a manifest lists, each under the id of its scan."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from tumorml.errors import TumorMLError
from tumorml.objects import ObjectStore
from tumorml.objects.keys import mask_key
from tumorml.results.session import read_session
from tumorml.results.tables import BatchFile
from tumorml.scans.contents.entry import Contents
from tumorml.scans.images.decode import decode, encode_png
from tumorml.scans.ingest.shard_files import ShardFile
from tumorml.settings import Settings


class MaskPairs:
    """Matches masks and scans of a shard; they may be read in any order.

    A stored mask is a PNG of the scan's size: 255 where the mask file is brighter than half of its
    brightest pixel, else 0. An existing mask of a scan is not overwritten. If a scan has
    several masks, `store_first_masks` chooses one afterwards.

    Attributes:
        stored: SHA-256 of the mask's PNG, by the path of the scan.
        refused: Why a mask is refused, by the path of the mask.
    """

    def __init__(self, store: ObjectStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._scans: dict[str, tuple[str, tuple[int, ...]]] = {}
        self._pending: dict[str, tuple[bytes, tuple[int, ...], list[str]]] = {}
        self.stored: dict[str, str] = {}
        self.refused: dict[str, str] = {}

    def add_scan(self, path: str, scan_id: str, shape: tuple[int, ...], mask: str) -> None:
        """Add a decoded scan that has a mask."""
        self._scans[path] = (scan_id, shape)
        if mask in self._pending:
            self._store_for(mask, path)

    def add_mask(self, path: str, data: bytes, mask_of: tuple[str, ...]) -> None:
        """Add a mask file that belongs to these scans."""
        try:
            mask = _decode_mask(data, self._settings)
        except TumorMLError as error:
            self.refused[path] = str(error)
            return
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
                f"The mask has {width} x {height} pixels, but its scan {scan} has {scan_width} x "
                f"{scan_height}."
            )
            return
        self.stored[scan] = hashlib.sha256(png).hexdigest()
        key = mask_key(scan_id)
        if not self._store.exists(key):
            self._store.write(key, png)


def store_first_masks(
    settings: Settings,
    store: ObjectStore,
    batch_id: str,
    files: Iterable[ShardFile],
    contents: Contents,
) -> None:
    """Store the mask of the scan's first file if a batch has several masks for one scan.

    Until then, the stored mask comes from the shard that was read first. A mask from an earlier
    batch is never replaced.
    """
    first: dict[str, ShardFile] = {}
    conflicts: dict[str, str] = {}
    for file in files:
        if file.mask_sha256 is None or file.profile.scan_id is None:
            continue
        chosen = first.setdefault(file.profile.scan_id, file)
        if (
            chosen.mask_sha256 != file.mask_sha256
            and chosen.description
            and chosen.description.mask
        ):
            conflicts[file.profile.scan_id] = chosen.description.mask
    if not conflicts:
        return
    with read_session(settings) as session:
        from_earlier_batches = set(
            session.scalars(
                select(BatchFile.scan_id).where(
                    BatchFile.scan_id.in_(conflicts),
                    BatchFile.mask_key.is_not(None),
                    BatchFile.batch_id != batch_id,
                )
            )
        )
    scans: dict[str, list[str]] = {}
    for scan_id, mask in conflicts.items():
        if scan_id not in from_earlier_batches:
            scans.setdefault(mask, []).append(scan_id)
    for entry, data, _ in contents.read(scans):
        if data is None:
            continue  # removed from the inbox since the batch was validated
        for scan_id in scans[entry.path]:
            store.write(mask_key(scan_id), encode_png(_decode_mask(data, settings)))


def _decode_mask(data: bytes, settings: Settings) -> NDArray[np.uint8]:
    pixels = decode(data, max_pixels=settings.max_scan_pixels, min_side=1).pixels
    return np.where(pixels > pixels.max() / 2, 255, 0).astype(np.uint8)
