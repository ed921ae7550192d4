"""Profiles of dropped files: one row of measurements per file, the input of the validation."""

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
from tumorml.scans.images.readers.registry import has_suffix_of
from tumorml.settings import Settings

if TYPE_CHECKING:
    import pandas

FOREGROUND_LEVEL = 16
"""Gray levels of this value and above count as foreground."""


@dataclass(slots=True)
class FileProfile:
    """The profile of one file that is expected to be a scan.

    All fields after ``reason`` are None if the file cannot be decoded.
    """

    path: str
    size_bytes: int | None = None
    sha256: str | None = None
    label: str | None = None
    split_understood: bool = True
    reason: str | None = None
    """Why the file is refused; None if it is not."""
    scan_id: str | None = None
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    format: str | None = None
    mean: float | None = None
    """Mean gray level, 0 to 255."""
    deviation: float | None = None
    """Standard deviation of the gray levels."""
    entropy: float | None = None
    """Shannon entropy of the gray levels, 0 to 8 bits."""
    foreground_share: float | None = None
    extension_matches: bool | None = None
    has_exif_person: bool | None = None
    single_frame: bool | None = None
    exif_readable: bool | None = None


def examine(profile: FileProfile, data: bytes, settings: Settings) -> NDArray[np.uint8] | None:
    """Decode a file and fill in its profile.

    Returns:
        The pixels, uint8 [height, width], or None if the file is refused.
    """
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
    profile.extension_matches = has_suffix_of(scan.format, PurePosixPath(profile.path).suffix)
    profile.has_exif_person = scan.has_exif_person
    profile.single_frame = "more_frames" not in scan.warnings
    profile.exif_readable = "exif_unreadable" not in scan.warnings
    _measure_gray_levels(profile, scan.pixels)
    return scan.pixels


def profile_frame(profiles: Iterable[FileProfile]) -> pandas.DataFrame:
    """Return a data frame of the profiles plus the columns ``readable``, ``side`` and ``aspect``.

    ``side`` is the shorter side in pixels; ``aspect`` is the longer side divided by the shorter.
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


def _measure_gray_levels(profile: FileProfile, pixels: NDArray[np.uint8]) -> None:
    """Fill in the statistics of the gray levels from one histogram."""
    counts = np.bincount(pixels.ravel(), minlength=256)
    shares = counts / pixels.size
    levels = np.arange(256)
    mean = float(shares @ levels)
    present = shares[shares > 0]
    profile.mean = mean
    profile.deviation = float(np.sqrt(shares @ (levels - mean) ** 2))
    profile.entropy = max(0.0, float(-(present * np.log2(present)).sum()))
    profile.foreground_share = float(shares[FOREGROUND_LEVEL:].sum())
