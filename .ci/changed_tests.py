"""Print the tests that mirror the changed files, one path a line, for `make check`.

Changed files are those that differ from the last commit of `main`, uncommitted and untracked files
included. For `tumorml/scans/inbox/claim.py` the tests are `tests/scans/inbox/test_claim.py` if it
exists, else the nearest existing folder above it: `tests/scans/inbox`, else `tests/scans`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def changed_files() -> list[Path]:
    """Paths of changed Python files below the checkout, relative to it."""
    base = _git("merge-base", "HEAD", "main") or ["HEAD"]
    changed = _git("diff", "--name-only", "--diff-filter=d", base[0], "--", "*.py")
    untracked = _git("ls-files", "--others", "--exclude-standard", "--", "*.py")
    return sorted(map(Path, {*changed, *untracked}))


def tests_of(path: Path) -> Path | None:
    """Return the test file or folder that mirrors a file; None for files without tests."""
    if path.parts[0] == "tests":
        return path if path.name.startswith("test_") else None
    if path.parts[0] != "tumorml":
        return None
    folder = Path("tests", *path.parts[1:-1])
    candidates = [folder / f"test_{path.name}", folder, *folder.parents]
    found = next(candidate for candidate in candidates if (ROOT / candidate).exists())
    return None if found in (Path("tests"), Path()) else found


def _git(*arguments: str) -> list[str]:
    result = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return result.stdout.split("\n")[:-1]


if __name__ == "__main__":
    chosen = {test for path in changed_files() if (test := tests_of(path))}
    # A folder covers the files below it.
    for test in sorted(chosen):
        if not chosen.intersection(test.parents):
            print(test)
