"""Decode image files to canonical gray levels, and encode gray levels as PNG."""

from __future__ import annotations

import hashlib
import io
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tumorml.errors import TumorMLError
from tumorml.scans.images.readers.image_reader import DecodedScan, Limits
from tumorml.scans.images.readers.registry import SIGNATURE_BYTES, find_reader, format_names
from tumorml.settings import Settings

_MAX_SCAN_PIXELS: int = Settings.model_fields["max_scan_pixels"].default
_MIN_SCAN_SIDE: int = Settings.model_fields["min_scan_side"].default
_UNSUPPORTED_SIGNATURES = (
    (0, b"PK\x03\x04", "a zip archive; drop it directly, not inside another drop"),
    (0, b"\x1f\x8b", "a gzip file; drop a tar.gz directly; NIfTI is not supported"),
    (0, b"Rar!", "a RAR archive; only zip and tar are supported"),
    (0, b"7z\xbc\xaf", "a 7z archive; only zip and tar are supported"),
    (0, b"%PDF", "a PDF"),
    (128, b"DICM", "a DICOM file; export its slices as PNG"),
    (257, b"ustar", "a tar archive; drop it directly, not inside another drop"),
)
"""Offset, signature and description of known files that are not images or have no reader."""
_PNG_COMPRESSION = 2
"""On MRI slices level 2 is twice as fast as level 4, and the files are 10 % larger."""


def decode(
    data: bytes, *, max_pixels: int = _MAX_SCAN_PIXELS, min_side: int = _MIN_SCAN_SIDE
) -> DecodedScan:
    """Decode an image file to canonical gray levels, uint8 [height, width].

    The reader is chosen by the content of the file, not by its name. The number of pixels is
    checked before any is decoded.

    Args:
        data: The file.
        max_pixels: Limit for width times height.
        min_side: Limit for the shorter side, in pixels.

    Raises:
        TumorMLError: The file has no supported format, is damaged, too large or too small; the
            message is for the person who dropped it.
    """
    if not data:
        raise TumorMLError("The file is empty.")
    reader = find_reader(data)
    if reader is None:
        raise TumorMLError(f"It is not a supported image: {_describe_unsupported(data)}.")
    try:
        return reader.read(data, Limits(max_pixels, min_side))
    except (TumorMLError, MemoryError):
        raise
    except Exception as error:  # decoders raise many types on damaged or malicious files
        raise TumorMLError(f"The image is truncated or damaged: {error or type(error)}.") from error


def count_pixels(stream: IO[bytes]) -> int:
    """Return an image's number of pixels according to its header; 0 if it is not an image.

    A negative number from a reader counts as 0: it must not lower the sum over the files of a
    request, which the API compares with a limit.
    """
    reader = find_reader(stream.read(SIGNATURE_BYTES))
    stream.seek(0)
    if reader is None:
        return 0
    try:
        return max(0, reader.count_pixels(stream))
    except Exception:  # decode reports the reason
        return 0


def scan_id(pixels: NDArray[np.uint8]) -> str:
    """Return the id of a scan: hexadecimal SHA-256 over width, height and pixels.

    Args:
        pixels: uint8 [height, width].
    """
    height, width = pixels.shape
    digest = hashlib.sha256(f"{width}x{height}\n".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode gray levels, uint8 [height, width], as a PNG without metadata. Deterministic."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(
        buffer, "PNG", compress_level=_PNG_COMPRESSION
    )
    return buffer.getvalue()


def _describe_unsupported(data: bytes) -> str:
    for offset, signature, description in _UNSUPPORTED_SIGNATURES:
        if data[offset : offset + len(signature)] == signature:
            return f"it is {description}"
    return f"it is not one of {', '.join(format_names())}"
