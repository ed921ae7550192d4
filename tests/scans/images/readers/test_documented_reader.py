"""The example in docs/how-to/add-an-image-format.md works."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.factories.drop_files import image_bytes, picture
from tumorml.errors import TumorMLError
from tumorml.scans.images.decode import count_pixels, decode
from tumorml.scans.images.profile import FileProfile, examine
from tumorml.scans.images.readers import registry
from tumorml.settings import Settings

PAGE = Path(__file__).parents[4] / "docs/how-to/add-an-image-format.md"
PIXELS = picture(1)
PGM = image_bytes(PIXELS, "PPM")
"""Pillow's encoder of PPM writes gray levels as PGM."""


@pytest.fixture(autouse=True)
def pgm_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the reader of the page."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {"__name__": "pgm_reader"}
    exec(code, names)
    monkeypatch.setattr(registry, "READERS", (*registry.READERS, names["PgmReader"]()))


def test_added_format_is_decoded() -> None:
    assert np.array_equal(decode(PGM).pixels, PIXELS)
    assert count_pixels(io.BytesIO(PGM)) == PIXELS.size


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (PGM[:500], "truncated or damaged"),
        (PGM.replace(b"255", b"999", 1), "^The PGM has a comment or a maximum other than 255"),
        (image_bytes(PIXELS[:20], "PPM"), "at least 32"),
    ],
)
def test_unreadable_file_of_added_format_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(TumorMLError, match=reason):
        decode(data)


def test_suffixes_and_names_include_the_added_format() -> None:
    for path, matches in (("a.pgm", True), ("a.png", False)):
        profile = FileProfile(path)
        examine(profile, PGM, Settings())
        assert (profile.format, profile.extension_matches) == ("PGM", matches)
    with pytest.raises(TumorMLError, match=r"not one of JPEG, .*, PGM"):
        decode(b"hello, this is text")
