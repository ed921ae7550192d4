"""Version of the running code."""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import version

from tumorml.settings import PROJECT_ROOT


def code_version() -> str:
    """Return the version of the code.

    It is TUMORML_CODE_VERSION (set in container images), else the output of ``git describe`` for a
    checkout, else the version of the package.
    """
    if image_version := os.environ.get("TUMORML_CODE_VERSION"):
        return image_version
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
