"""The interface of an image reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Protocol

import numpy as np
from numpy.typing import NDArray

from tumorml.errors import TumorMLError


@dataclass(frozen=True, slots=True)
class DecodedScan:
    """A decoded image.

    Attributes:
        pixels: uint8 [height, width]; 0 is black.
        mode: The reader's name of the file's pixel format, such as Pillow's ``RGB`` or ``I;16``.
        format: The name of the file format, a key of the reader's ``suffixes``.
        warnings: ``more_frames`` if only the first frame was read, ``exif_unreadable`` if the EXIF
            data is damaged.
        has_exif_person: Whether the metadata has a field that may name a person: EXIF, or any other
            metadata of the file such as a PNG text chunk.
    """

    pixels: NDArray[np.uint8]
    mode: str
    format: str
    warnings: tuple[str, ...] = ()
    has_exif_person: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for the size of an image, in pixels: the product of its sides, and each side."""

    max_pixels: int
    min_side: int

    def check(self, width: int, height: int) -> None:
        """Check the size of an image; a reader does so before it decodes any pixel.

        Raises:
            TumorMLError: The image is too large or too small.
        """
        if width * height > self.max_pixels:
            raise TumorMLError(
                f"The image has {width:,} x {height:,} pixels; the limit is {self.max_pixels:,} "
                "pixels."
            )
        if min(width, height) < self.min_side:
            raise TumorMLError(
                f"The image has {width} x {height} pixels; each side must have at least "
                f"{self.min_side}."
            )


class ImageReader(Protocol):
    """Reads one kind of image file."""

    @property
    def suffixes(self) -> Mapping[str, frozenset[str]]:
        """The lower-case file name suffixes of each format, by the name of the format."""
        ...

    def matches(self, start: bytes) -> bool:
        """Return whether a file with these first bytes is of this kind.

        Args:
            start: The first 512 bytes, or the whole file if it is shorter.
        """
        ...

    def count_pixels(self, stream: IO[bytes]) -> int:
        """Return the number of pixels according to the header, without decoding them.

        Args:
            stream: The file at its start, or only its first part. Any exception counts as 0 pixels.
        """
        ...

    def read(self, data: bytes, limits: Limits) -> DecodedScan:
        """Decode a file.

        Any exception other than `TumorMLError` and `MemoryError` is reported as a damaged file.

        Raises:
            TumorMLError: The file exceeds the limits or cannot be read; the message is for the
                person who dropped it.
        """
        ...
