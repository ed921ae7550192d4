import hashlib
import io
import time
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from tests.factories.drop_files import image_bytes, picture, png_bomb
from tumorml.errors import TumorMLError
from tumorml.scans.images.decode import count_pixels, decode, encode_png, scan_id
from tumorml.scans.images.readers.raster import RasterReader

PIXELS = picture(1)


def save(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gray_palette() -> bytes:
    image = Image.fromarray(PIXELS, "L").convert("P")
    return save(image)


SAME_PICTURE = {
    "gray PNG": image_bytes(PIXELS),
    "RGB": image_bytes(np.stack([PIXELS] * 3, axis=-1)),
    "opaque RGBA": image_bytes(np.dstack([PIXELS] * 3 + [np.full_like(PIXELS, 255)])),
    "transparent where black": image_bytes(
        np.dstack([np.full_like(PIXELS, 99)] * 3 + [np.zeros_like(PIXELS)])
        * (PIXELS[..., None] == 0)
        + np.dstack([PIXELS] * 3 + [np.full_like(PIXELS, 255)]) * (PIXELS[..., None] > 0)
    ),
    "palette": gray_palette(),
    "palette GIF": save(Image.fromarray(PIXELS), "GIF"),
    "16 bits": image_bytes(PIXELS.astype(np.uint16) * 257),
    "16 bits with an offset": image_bytes(PIXELS.astype(np.uint16) * 12 + 1000),
    "32-bit integers": image_bytes(PIXELS.astype(np.int32) * 1000, "TIFF"),
    "32-bit floats": image_bytes(PIXELS.astype(np.float32) / 255, "TIFF"),
    "BMP": image_bytes(PIXELS, "BMP"),
    "LZW TIFF": image_bytes(PIXELS, "TIFF", compression="tiff_lzw"),
    "lossless WebP": image_bytes(np.stack([PIXELS] * 3, axis=-1), "WEBP", lossless=True),
}


@pytest.mark.parametrize("data", SAME_PICTURE.values(), ids=SAME_PICTURE.keys())
def test_scan_id_does_not_depend_on_the_file_format(data: bytes) -> None:
    assert scan_id(decode(data).pixels) == scan_id(PIXELS)


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[274] = 6
    turned = save(Image.fromarray(np.rot90(PIXELS)), exif=exif.tobytes())
    assert np.array_equal(decode(turned).pixels, PIXELS)


def test_encoded_png_is_deterministic_and_lossless() -> None:
    assert encode_png(PIXELS) == encode_png(PIXELS.copy())
    assert np.array_equal(decode(encode_png(PIXELS)).pixels, PIXELS)


def test_scan_id_is_the_digest_of_size_and_pixels() -> None:
    for pixels, size in ((PIXELS, "64x64"), (PIXELS.reshape(32, 128), "128x32")):
        expected = hashlib.sha256(f"{size}\n".encode() + PIXELS.tobytes()).hexdigest()
        assert scan_id(pixels) == expected


def test_bomb_is_refused_by_its_header() -> None:
    data = png_bomb()
    started = time.process_time()
    with pytest.raises(TumorMLError, match="has more than 64,000,000 pixels"):
        decode(data)
    with pytest.raises(TumorMLError, match="10,000 x 10,000 pixels; the limit is 64,000,000"):
        decode(png_bomb(10_000, 10_000))
    assert time.process_time() - started < 1


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_truncated_file_is_refused(kind: str, share: float) -> None:
    data = image_bytes(PIXELS, kind)
    with pytest.raises(TumorMLError, match=r"truncated or damaged|not one of JPEG"):
        decode(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello, this is text", "not a supported image"),
        (b"\0" * 128 + b"DICM", "DICOM"),
        (b"PK\x03\x04" + b"\0" * 99, "zip"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "not a supported image"),
        (image_bytes(PIXELS[:20]), "at least 32"),
    ],
)
def test_file_that_is_no_scan_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(TumorMLError, match=reason):
        decode(data)


def test_random_changes_never_crash_a_decoder() -> None:
    random = np.random.default_rng(5)
    for kind in ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP"):
        intact = bytearray(image_bytes(PIXELS, kind))
        for _ in range(60):
            data = intact.copy()
            for place in random.integers(0, len(data), 8):
                data[place] = random.integers(256)
            try:
                assert decode(bytes(data)).pixels.dtype == np.uint8
            except TumorMLError as error:
                assert str(error)


def test_metadata_that_names_a_person_is_reported() -> None:
    exif = Image.Exif()
    exif[315] = "Dr. Jane Doe"
    assert decode(save(Image.fromarray(PIXELS), "JPEG", exif=exif.tobytes())).has_exif_person
    assert not decode(image_bytes(PIXELS, "JPEG")).has_exif_person


def test_16_bit_scan_takes_less_than_6_bytes_per_pixel() -> None:
    side = 3000
    values = np.random.default_rng(1).integers(0, 60_000, (side, side), np.uint16)
    data = save(Image.fromarray(values), compress_level=1)
    tracemalloc.start()
    pixels = decode(data).pixels
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * side**2
    wide = values.astype(np.float64)
    low, high = wide.min(), wide.max()
    assert (pixels == np.rint((wide - low) * (255 / (high - low)))).all()


def test_pixels_are_counted_from_the_header() -> None:
    data = save(Image.new("L", (8000, 7000)))
    assert count_pixels(io.BytesIO(data[:100])) == 56_000_000
    assert count_pixels(io.BytesIO(b"garbage")) == 0


def test_negative_pixel_count_of_a_reader_becomes_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RasterReader, "count_pixels", lambda reader, stream: -56_000_000)
    assert count_pixels(io.BytesIO(image_bytes(PIXELS))) == 0
