"""Run a program that can import only the packages of an image.

python -m tests.docker.as_installed_in control-plane program.py arguments...
"""

from __future__ import annotations

import runpy
import sys
from importlib.abc import MetaPathFinder
from importlib.metadata import packages_distributions

from tests.docker.image_packages import image_packages, normalized_name


class NotInstalled(MetaPathFinder):
    """Import finder that rejects all installed packages that the image lacks."""

    def __init__(self, target: str) -> None:
        installed = image_packages(target).keys() | {"tumorml"}
        self.lacking = {
            package
            for package, distributions in packages_distributions().items()
            if not {normalized_name(distribution) for distribution in distributions} & installed
        }

    def find_spec(self, fullname, path=None, target=None):
        package = fullname.partition(".")[0]
        if package in self.lacking:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return


if __name__ == "__main__":
    _, image, program, *arguments = sys.argv
    finder = NotInstalled(image)
    # If setuptools is installed, Python imports _distutils_hack at its start.
    already_imported = finder.lacking & sys.modules.keys() - {"_distutils_hack"}
    assert not already_imported, already_imported
    sys.meta_path.insert(0, finder)
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")
