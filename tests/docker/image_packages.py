"""Names and versions of each image's packages, from the lock files that `make lock` writes."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.requirements import Requirement

from tumorml.settings import PROJECT_ROOT

TARGETS = ("control-plane", "worker", "worker-gpu", "serving")
LOCK = PROJECT_ROOT / "requirements.lock"
CUDA_LOCK = PROJECT_ROOT / "docker" / "cuda.lock"


def image_packages(target: str) -> dict[str, str]:
    """Return the version of each package of an image on this platform, by name."""
    if target == "worker-gpu":
        return image_packages("worker") | pinned(CUDA_LOCK)
    return pinned(PROJECT_ROOT / "docker" / f"{target}.txt")


def pinned(path: Path) -> dict[str, str]:
    """Return the version of each package of a lock file on this platform, by name."""
    versions = {}
    for line in path.read_text().splitlines():
        if not line or line.startswith((" ", "#")):
            continue
        requirement = Requirement(line.rstrip("\\ "))
        if requirement.marker is None or requirement.marker.evaluate():
            (version,) = requirement.specifier
            versions[normalized_name(requirement.name)] = version.version
    return versions


def normalized_name(distribution: str) -> str:
    """Return the normalized name of a distribution (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
