"""The pages of the documentation, for the tests of this folder."""

from __future__ import annotations

import re
from pathlib import Path

from tumorml.settings import PROJECT_ROOT

DOCS = PROJECT_ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
ROOT_PAGES = sorted(PROJECT_ROOT.glob("*.md"))
"""The Markdown files in the root folder, such as README and CONTRIBUTING."""


def page_id(page: Path) -> str:
    """Return a page's path from the checkout, as a test id."""
    return page.relative_to(PROJECT_ROOT).as_posix()


def shell_lines(page: Path) -> list[str]:
    """Return the commands of a page's shell blocks; continued and quoted lines are joined."""
    lines = []
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
        open_line = ""
        for line in block.splitlines():
            open_line = f"{open_line} {line.strip()}".strip()
            if open_line.endswith("\\"):
                open_line = open_line[:-1]
            elif open_line.count('"') % 2 == 0:
                lines.append(open_line)
                open_line = ""
    return lines
