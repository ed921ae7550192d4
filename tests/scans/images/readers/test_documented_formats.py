"""The section "Formats" of docs/how-to/drop-scans.md names the formats of the registry."""

import re

from tumorml.scans.images.readers.registry import format_names
from tumorml.settings import PROJECT_ROOT

PAGE = PROJECT_ROOT / "docs/how-to/drop-scans.md"


def test_page_names_every_registered_format() -> None:
    (names,) = re.findall(r"## Formats\n\nSupported formats: (.*?)\.", PAGE.read_text(), re.S)
    assert set(re.split(r",\s+|\s+and\s+", names)) == set(format_names())
