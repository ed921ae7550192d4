import pytest

from tests.factories.drop_files import image_bytes, picture
from tumorml.scans.images.readers.raster import RasterReader
from tumorml.scans.images.readers.registry import find_reader, format_names, has_suffix_of

RASTER_FORMATS = ["JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP"]


def test_all_raster_formats_are_registered() -> None:
    assert set(RASTER_FORMATS) <= set(format_names())


def test_format_names_are_unique() -> None:
    assert len(set(format_names())) == len(format_names())


@pytest.mark.parametrize("kind", RASTER_FORMATS)
def test_signature_finds_the_raster_reader(kind: str) -> None:
    assert isinstance(find_reader(image_bytes(picture(1), kind)), RasterReader)


@pytest.mark.parametrize(
    "start",
    [b"", b"hello, this is text", b"RIFF\0\0\0\0WAVE", b"II\x00\x00", b"\0" * 128 + b"DICM"],
)
def test_other_files_have_no_reader(start: bytes) -> None:
    assert find_reader(start) is None


def test_suffixes_belong_to_their_format_in_any_case() -> None:
    assert has_suffix_of("JPEG", ".JPG")
    assert has_suffix_of("JPEG", ".jfif")
    assert not has_suffix_of("JPEG", ".png")
    assert not has_suffix_of("DICOM", ".dcm")
