"""The generated reference pages are current."""

from __future__ import annotations

import subprocess
import sys

from tumorml.settings import PROJECT_ROOT


def test_generated_pages_are_current() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate", "--check"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
