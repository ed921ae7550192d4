"""Write the generated reference pages, or check that they are current with ``--check``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from api_page import api_page
from cli_page import cli_page
from keys_page import keys_page
from policy_page import policy_page
from recipe_page import recipe_page
from settings_page import settings_page
from tables_page import tables_page
from views_page import views_page

REFERENCE = Path(__file__).resolve().parents[1] / "reference"

PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "cli.md": cli_page,
    "api-schema.md": api_page,
    "tables.md": tables_page,
    "views.md": views_page,
    "object-keys.md": keys_page,
    "recipe-keys.md": recipe_page,
    "promotion-rules.md": policy_page,
}


def main() -> None:
    """Write every page; with ``--check`` write nothing and exit with code 1 if one is stale."""
    stale = []
    for name, page in PAGES.items():
        path, text = REFERENCE / name, page()
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(f"docs/reference/{name}")
    if stale:
        sys.exit(f"Stale: {', '.join(stale)}. Run `python docs/generate` and commit the result.")


if __name__ == "__main__":
    main()
