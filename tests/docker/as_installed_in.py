"""Runs a program where nothing can be imported but what an image installs.

python -m tests.docker.as_installed_in control-plane program.py arguments...
"""

from __future__ import annotations

import runpy
import sys
from importlib.abc import MetaPathFinder
from importlib.metadata import packages_distributions

from tests.docker.image_packages import image_packages, name_of


class NotInstalled(MetaPathFinder):
    """Answers for the packages that the image lacks, before anybody finds them."""

    def __init__(self, target: str) -> None:
        there = image_packages(target).keys() | {"tumorml"}
        self.lacking = {
            package
            for package, distributions in packages_distributions().items()
            if not {name_of(distribution) for distribution in distributions} & there
        }

    def find_spec(self, fullname, path=None, target=None):
        package = fullname.partition(".")[0]
        if package in self.lacking:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return


if __name__ == "__main__":
    _, image, program, *arguments = sys.argv
    finder = NotInstalled(image)
    # setuptools, where it is installed, brings that one along whenever Python starts.
    too_early = finder.lacking & sys.modules.keys() - {"_distutils_hack"}
    assert not too_early, too_early
    sys.meta_path.insert(0, finder)
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")
