"""What is known of each dropped file before anyone judges it: one row a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tumorml.errors import TumorMLError
from tumorml.scans.images.decode import decode, scan_id
from tumorml.settings import Settings

if TYPE_CHECKING:
    import pandas

FOREGROUND_LEVEL = 16
"""Grey levels from here on count as foreground."""

_SUFFIXES = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "PNG": {".png"},
    "BMP": {".bmp", ".dib"},
    "TIFF": {".tif", ".tiff"},
    "GIF": {".gif"},
    "WEBP": {".webp"},
}


@dataclass(slots=True)
class FileProfile:
    """One file that should be a scan. Everything after ``reason`` is None where it is refused."""

    path: str
    size_bytes: int | None = None
    sha256: str | None = None
    label: str | None = None
    split_understood: bool = True
    reason: str | None = None
    """Why it is refused so far."""
    scan_id: str | None = None
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    format: str | None = None
    mean: float | None = None
    """Mean grey level, 0 to 255."""
    deviation: float | None = None
    """Standard deviation of the grey levels."""
    entropy: float | None = None
    """Shannon entropy of the grey levels, in bits, 0 to 8."""
    foreground_share: float | None = None
    extension_matches: bool | None = None
    has_exif_person: bool | None = None
    single_frame: bool | None = None
    exif_readable: bool | None = None


def examine(profile: FileProfile, data: bytes, settings: Settings) -> NDArray[np.uint8] | None:
    """Decode a file and fill its profile; its pixels, uint8 [height, width], or None if refused."""
    profile.size_bytes = len(data)
    profile.sha256 = hashlib.sha256(data).hexdigest()
    if profile.reason:
        return None
    try:
        scan = decode(data, max_pixels=settings.max_scan_pixels, min_side=settings.min_scan_side)
    except TumorMLError as error:
        profile.reason = str(error)
        return None
    profile.height, profile.width = scan.pixels.shape
    profile.scan_id = scan_id(scan.pixels)
    profile.mode, profile.format = scan.mode, scan.format
    profile.extension_matches = PurePosixPath(profile.path).suffix.lower() in _SUFFIXES[scan.format]
    profile.has_exif_person = scan.has_exif_person
    profile.single_frame = "more_frames" not in scan.warnings
    profile.exif_readable = "exif_unreadable" not in scan.warnings
    _describe(profile, scan.pixels)
    return scan.pixels


def profile_frame(profiles: Iterable[FileProfile]) -> pandas.DataFrame:
    """One row for each file, with the profile's fields, ``readable``, ``side`` and ``aspect``.

    ``side`` is the shorter side in pixels; ``aspect`` is the longer side over the shorter one.
    """
    import pandas

    names = list(FileProfile.__slots__)
    frame = pandas.DataFrame(
        [[getattr(profile, name) for name in names] for profile in profiles], columns=names
    )
    for name in ("width", "height", "mean", "deviation", "entropy", "foreground_share"):
        frame[name] = frame[name].astype("float64")
    sides = frame[["width", "height"]]
    frame["side"] = sides.min(axis=1)
    frame["aspect"] = sides.max(axis=1) / sides.min(axis=1)
    frame["readable"] = frame["reason"].isna()
    return frame


def _describe(profile: FileProfile, pixels: NDArray[np.uint8]) -> None:
    """Everything that is asked of the grey levels, from one histogram."""
    counts = np.bincount(pixels.ravel(), minlength=256)
    shares = counts / pixels.size
    levels = np.arange(256)
    mean = float(shares @ levels)
    present = shares[shares > 0]
    profile.mean = mean
    profile.deviation = float(np.sqrt(shares @ (levels - mean) ** 2))
    profile.entropy = max(0.0, float(-(present * np.log2(present)).sum()))
    profile.foreground_share = float(shares[FOREGROUND_LEVEL:].sum())
