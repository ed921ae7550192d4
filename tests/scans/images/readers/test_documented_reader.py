"""The example in docs/how-to/add-an-image-format.md works."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.factories.drop_files import picture
from tumorml.errors import TumorMLError
from tumorml.scans.images.decode import count_pixels, decode
from tumorml.scans.images.profile import FileProfile, examine
from tumorml.scans.images.readers import registry
from tumorml.settings import Settings

PAGE = Path(__file__).parents[4] / "docs/how-to/add-an-image-format.md"
PIXELS = picture(1)


@pytest.fixture(autouse=True)
def numpy_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the reader of the page."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {"__name__": "numpy_reader"}
    exec(code, names)
    monkeypatch.setattr(registry, "READERS", (*registry.READERS, names["NumpyReader"]()))


def npy(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, pixels)
    return stream.getvalue()


def test_added_format_is_decoded() -> None:
    assert np.array_equal(decode(npy(PIXELS)).pixels, PIXELS)
    assert count_pixels(io.BytesIO(npy(PIXELS))) == PIXELS.size


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (npy(PIXELS)[:500], "truncated or damaged"),
        (npy(PIXELS.astype(np.int64)), "its values are int64, not uint8"),
        (npy(PIXELS[:20]), "at least 32"),
    ],
)
def test_unreadable_file_of_added_format_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(TumorMLError, match=reason):
        decode(data)


def test_suffixes_and_names_include_the_added_format() -> None:
    for path, matches in (("a.npy", True), ("a.png", False)):
        profile = FileProfile(path)
        examine(profile, npy(PIXELS), Settings())
        assert (profile.format, profile.extension_matches) == ("NPY", matches)
    with pytest.raises(TumorMLError, match="not one of JPEG, PNG, BMP, TIFF, GIF, WEBP, NPY"):
        decode(b"hello, this is text")
