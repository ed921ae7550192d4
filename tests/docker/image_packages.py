"""What each image installs, from the files that `make lock` writes."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.requirements import Requirement

from tumorml.settings import PROJECT_ROOT

TARGETS = ("control-plane", "worker", "worker-gpu", "serving")
LOCK = PROJECT_ROOT / "requirements.lock"
CUDA_LOCK = PROJECT_ROOT / "docker" / "cuda.lock"


def image_packages(target: str) -> dict[str, str]:
    """Version of each package, by name; only what this platform installs."""
    if target == "worker-gpu":
        return image_packages("worker") | pinned(CUDA_LOCK)
    return pinned(PROJECT_ROOT / "docker" / f"{target}.txt")


def pinned(path: Path) -> dict[str, str]:
    """Version of each package of a lock, by name, with or without hashes."""
    found = {}
    for line in path.read_text().splitlines():
        if not line or line.startswith((" ", "#")):
            continue
        requirement = Requirement(line.rstrip("\\ "))
        if requirement.marker is None or requirement.marker.evaluate():
            (version,) = requirement.specifier
            found[name_of(requirement.name)] = version.version
    return found


def name_of(distribution: str) -> str:
    """Its name as indexes spell it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
