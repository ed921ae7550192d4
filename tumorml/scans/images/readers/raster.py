"""Read ordinary raster images (JPEG, PNG, BMP, TIFF, GIF, WebP) with Pillow."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from tumorml.errors import TumorMLError
from tumorml.scans.images.readers.image_reader import DecodedScan, Limits
from tumorml.scans.images.readers.stretch import stretch

_SUFFIXES = {
    "JPEG": frozenset({".jpg", ".jpeg", ".jpe", ".jfif"}),
    "PNG": frozenset({".png"}),
    "BMP": frozenset({".bmp", ".dib"}),
    "TIFF": frozenset({".tif", ".tiff"}),
    "GIF": frozenset({".gif"}),
    "WEBP": frozenset({".webp"}),
}
_FORMATS = tuple(_SUFFIXES)
"""Pillow's format names; Pillow's other decoders are disabled."""
_SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"BM",
    *(order + version for order in (b"II", b"MM") for version in (b"*\0", b"\0*", b"+\0", b"\0+")),
    b"GIF87a",
    b"GIF89a",
)
_EXIF_PERSON_TAGS = (270, 315, 33432, 40091, 40092, 40093, 40095)
"""ImageDescription, Artist, Copyright, XPTitle, XPComment, XPAuthor and XPSubject."""
_EXIF_IFD, _EXIF_IFD_PERSON_TAGS = 0x8769, (37510, 42032)
"""UserComment and CameraOwnerName, in the Exif directory."""
_PERSON_FIELDS = ("author", "artist", "copyright", "description", "comment", "patient")


class RasterReader:
    """Reader for the raster formats, by Pillow."""

    @property
    def suffixes(self) -> Mapping[str, frozenset[str]]:
        """File name suffixes by format; see `ImageReader.suffixes`."""
        return _SUFFIXES

    def matches(self, start: bytes) -> bool:
        """Return whether the start of a file has the signature of a raster format."""
        is_webp = start.startswith(b"RIFF") and start[8:12] == b"WEBP"
        return is_webp or start.startswith(_SIGNATURES)

    def count_pixels(self, stream: IO[bytes]) -> int:
        """Return the number of pixels of the first frame according to the header."""
        with Image.open(stream, formats=_FORMATS) as image:
            width, height = image.size
        return width * height

    def read(self, data: bytes, limits: Limits) -> DecodedScan:
        """Decode a raster image to gray levels; see `tumorml.scans.images.decode.decode`.

        Only the first frame is read. The EXIF orientation is applied. Transparent pixels are
        blended with black. Colors become luma (ITU-R BT.601). 16- and 32-bit gray levels are
        stretched linearly from their minimum and maximum to 0 and 255.
        """
        try:
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
        except UnidentifiedImageError as error:
            raise ValueError("its header cannot be read") from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise TumorMLError(f"The image has more than {limits.max_pixels:,} pixels.") from None
        with image:
            limits.check(*image.size)
            warnings: list[str] = []
            has_person = _may_name_a_person(image)
            # MPO is a JPEG with several pictures; Pillow's JPEG decoder detects it.
            mode, format_name = image.mode, "JPEG" if image.format == "MPO" else str(image.format)
            if getattr(image, "is_animated", False):
                warnings.append("more_frames")
            image.load()
            if image.format == "PNG":
                _verify_checksums(data)
            pixels = _to_gray(_apply_orientation(image, warnings))
        return DecodedScan(pixels, mode, format_name, tuple(warnings), has_person)


def _verify_checksums(data: bytes) -> None:
    """Check a PNG's checksums, which Pillow does not check when it decodes."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        image.verify()


def _apply_orientation(image: Image.Image, warnings: list[str]) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged metadata is no reason to refuse the picture
        warnings.append("exif_unreadable")
        return image


def _to_gray(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith(("I", "F")):
        return stretch(np.asarray(image))
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        picture = image.convert("RGBA")
        black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, picture).convert("RGB")
    if image.mode not in ("L", "RGB", "1"):
        image = image.convert("RGB")
    return np.array(image.convert("L"))


def _may_name_a_person(image: Image.Image) -> bool:
    """Return whether a metadata field for people or free text is not empty."""
    try:
        exif = image.getexif()
        fields = [exif.get(tag) for tag in _EXIF_PERSON_TAGS]
        if exif:
            fields += [exif.get_ifd(_EXIF_IFD).get(tag) for tag in _EXIF_IFD_PERSON_TAGS]
    except Exception:  # _apply_orientation adds the warning about damaged metadata
        fields = []
    fields += [
        value
        for name, value in image.info.items()
        if isinstance(name, str) and name.lower() in _PERSON_FIELDS
    ]
    return any(_has_text(value) for value in fields)


def _has_text(value: object) -> bool:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
    # UserComment begins with the name of its character set.
    return bool(text.replace("ASCII", "").replace("UNICODE", "").strip("\0 \t\r\n"))
