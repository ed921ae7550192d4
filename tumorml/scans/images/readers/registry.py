"""The registry of image readers. To add a format, add its reader to `READERS`."""

from __future__ import annotations

from tumorml.scans.images.readers.image_reader import ImageReader
from tumorml.scans.images.readers.raster import RasterReader

READERS: tuple[ImageReader, ...] = (RasterReader(),)

SIGNATURE_BYTES = 512
"""Number of bytes at the start of a file that are passed to `ImageReader.matches`."""


def find_reader(start: bytes) -> ImageReader | None:
    """Return the first reader that matches the start of a file, or None."""
    start = start[:SIGNATURE_BYTES]
    return next((reader for reader in READERS if reader.matches(start)), None)


def format_names() -> list[str]:
    """Return the names of all formats that can be read, such as ``JPEG``."""
    return [name for reader in READERS for name in reader.suffixes]


def has_suffix_of(format_name: str, suffix: str) -> bool:
    """Return whether a file name suffix such as ``.jpg`` belongs to the format."""
    return any(suffix.lower() in reader.suffixes.get(format_name, ()) for reader in READERS)
