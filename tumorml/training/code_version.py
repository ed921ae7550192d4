"""Which code this is."""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import version

from tumorml.settings import PROJECT_ROOT


def code_version() -> str:
    """What the image was built of, what git says of the checkout, or the package's version."""
    if built_of := os.environ.get("TUMORML_CODE_VERSION"):
        return built_of
    if not (PROJECT_ROOT / ".git").exists():
        return version("tumorml")
    try:
        described = subprocess.run(
            ["git", "-C", str(PROJECT_ROOT), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return version("tumorml")
    return described.stdout.strip()
