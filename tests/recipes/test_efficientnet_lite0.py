"""The ImageNet weights of EfficientNet-Lite0 are converted correctly."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tumorml.recipes.find_weights import find_weights
from tumorml.recipes.load_recipe import load_recipe

PALACE, MONASTERY, BELL_COTE, DAISY = 698, 663, 442, 985
"""Indices of ImageNet classes."""


def photograph(name: str) -> np.ndarray:
    """The center of a photograph from scikit-learn, float32 [1, 224, 224, 3]."""
    from sklearn.datasets import load_sample_image

    pixels = load_sample_image(name)
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    center = Image.fromarray(pixels[top : top + side, left : left + side])
    return np.asarray(center.resize((224, 224), Image.Resampling.BICUBIC), np.float32)[None]


def test_imagenet_network_classifies_photographs() -> None:
    from tumorml.recipes.networks.efficientnet_lite0 import build_imagenet_classifier

    path = find_weights(load_recipe("efficientnet-lite0"))
    assert path is not None
    network = build_imagenet_classifier(path)
    palace = network.predict(photograph("china.jpg"), verbose=0)[0]
    flower = network.predict(photograph("flower.jpg"), verbose=0)[0]
    assert {PALACE, MONASTERY, BELL_COTE} <= set(np.argsort(-palace)[:5])
    assert np.argmax(flower) == DAISY
