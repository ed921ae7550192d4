import io
import time
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from tests.factories.drop_files import image_bytes, picture, png_bomb
from tumorml.errors import TumorMLError
from tumorml.scans.images.decode import count_pixels, decode, encode_png, scan_id

PIXELS = picture(1)


def save(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grey_palette() -> bytes:
    image = Image.fromarray(PIXELS, "L").convert("P")
    return save(image)


SAME_PICTURE = {
    "grey PNG": image_bytes(PIXELS),
    "RGB": image_bytes(np.stack([PIXELS] * 3, axis=-1)),
    "opaque RGBA": image_bytes(np.dstack([PIXELS] * 3 + [np.full_like(PIXELS, 255)])),
    "transparent where black": image_bytes(
        np.dstack([np.full_like(PIXELS, 99)] * 3 + [np.zeros_like(PIXELS)])
        * (PIXELS[..., None] == 0)
        + np.dstack([PIXELS] * 3 + [np.full_like(PIXELS, 255)]) * (PIXELS[..., None] > 0)
    ),
    "palette": grey_palette(),
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
def test_the_same_picture_is_the_same_scan_whatever_file_it_comes_in(data: bytes) -> None:
    assert scan_id(decode(data).pixels) == scan_id(PIXELS)


def test_a_photograph_is_turned_upright_by_its_exif() -> None:
    exif = Image.Exif()
    exif[274] = 6
    turned = save(Image.fromarray(np.rot90(PIXELS)), exif=exif.tobytes())
    assert np.array_equal(decode(turned).pixels, PIXELS)


def test_a_canonical_file_is_always_the_same_and_gives_its_pixels_back() -> None:
    assert encode_png(PIXELS) == encode_png(PIXELS.copy())
    assert np.array_equal(decode(encode_png(PIXELS)).pixels, PIXELS)


def test_pictures_of_other_shapes_with_the_same_bytes_are_other_scans() -> None:
    assert scan_id(PIXELS) != scan_id(PIXELS.reshape(32, 128))


def test_a_bomb_of_30_000_by_30_000_pixels_is_refused_by_its_header() -> None:
    data = png_bomb()
    started = time.perf_counter()
    with pytest.raises(TumorMLError, match="more than"):
        decode(data)
    with pytest.raises(TumorMLError, match="more than"):
        decode(png_bomb(10_000, 10_000))
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_file_that_is_cut_short_is_refused(kind: str, share: float) -> None:
    data = image_bytes(PIXELS, kind)
    with pytest.raises(TumorMLError):
        decode(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello, this is text", "not an image"),
        (b"\0" * 128 + b"DICM", "DICOM"),
        (b"PK\x03\x04" + b"\0" * 99, "zip"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "not an image"),
        (image_bytes(PIXELS[:20]), "at least 32"),
    ],
)
def test_what_is_no_scan_is_refused_with_a_sentence(data: bytes, reason: str) -> None:
    with pytest.raises(TumorMLError, match=reason):
        decode(data)


def test_noise_after_any_magic_number_is_refused_and_never_crashes() -> None:
    random = np.random.default_rng(5)
    for kind in ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP"):
        whole = bytearray(image_bytes(PIXELS, kind))
        for _ in range(60):
            data = whole.copy()
            for place in random.integers(0, len(data), 8):
                data[place] = random.integers(256)
            try:
                assert decode(bytes(data)).pixels.dtype == np.uint8
            except TumorMLError as error:
                assert str(error)


def test_metadata_that_names_people_is_noticed() -> None:
    exif = Image.Exif()
    exif[315] = "Dr. Jane Doe"
    assert decode(save(Image.fromarray(PIXELS), "JPEG", exif=exif.tobytes())).has_exif_person
    assert not decode(image_bytes(PIXELS, "JPEG")).has_exif_person


def test_a_large_scan_of_16_bits_takes_few_bytes_a_pixel() -> None:
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


def test_pixels_are_counted_without_decoding() -> None:
    data = save(Image.new("L", (8000, 7000)))
    assert count_pixels(io.BytesIO(data[:100])) == 56_000_000
    assert count_pixels(io.BytesIO(b"garbage")) == 0
