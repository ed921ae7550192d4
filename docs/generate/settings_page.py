"""The page of settings, from ``tumorml.settings.Settings``."""

from __future__ import annotations

from markdown import code, page, prose, table
from model_fields import default_text, type_text

from tumorml.settings import Settings


def settings_page() -> str:
    """Return the page: one row per environment variable."""
    rows = [
        (
            code(f"TUMORML_{name.upper()}"),
            type_text(field),
            default_text(field.default),
            prose(field.description),
        )
        for name, field in Settings.model_fields.items()
    ]
    return page(
        "Settings",
        "tumorml/settings.py",
        "Settings are environment variables, or lines of a file `.env` in the working folder. An "
        "empty value counts as not set. A value that cannot be used stops the command with the "
        "name of the variable; the value itself is not printed, because it may be a secret.",
        table(("variable", "type", "default", "meaning"), rows),
    )
